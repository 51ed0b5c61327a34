"""Alembic operations and autogenerate support for the audit trail.

Importing this package registers the operations; generated migrations import it.
"""

from .directives import process_revision_directives
from .registration import register

__all__ = ["process_revision_directives", "register"]

register()
