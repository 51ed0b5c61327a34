"""``python -m audit_core.cli``: the same as ``audit-log``."""

from . import main

main()
