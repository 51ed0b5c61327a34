"""Alembic operations and autogenerate support for the audit trail.

Importing this module registers the operations; generated migrations do it by themselves.
"""

from . import compare, impl, ops, render, rewrite
from .directives import process_revision_directives

__all__ = ["compare", "impl", "ops", "process_revision_directives", "render", "rewrite"]
