"""The command line: ``audit-log``, and the commands of ``flask audit``. Needs the extra ``audit-core[cli]``."""

from __future__ import annotations

import sys

_EXTRA = ("click", "rich")


def main() -> None:
    """Run ``audit-log``, or say what has to be installed for it."""
    try:
        from .standalone import audit_log
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _EXTRA:
            raise
        print(f'Error: audit-log needs {error.name!r}. Run: pip install "audit-core[cli]"', file=sys.stderr)
        sys.exit(2)
    audit_log(prog_name="audit-log")
