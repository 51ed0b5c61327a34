"""Reading the trail: what happened to a record, who did what, and how things were.

What can be asked without a database returns a ``Select`` for any session or connection, also an asynchronous
one. What has to look takes a Session or a Connection.
"""

from .activities import ANY, activities
from .actor_names import actor_names
from .as_of import AsOf, Diff, as_of, diff, get_as_of, row_as_of
from .audited_table import schema_of
from .changes import ModelReader
from .coverage import coverage
from .history import history, referencing_tables
from .names import find_table, parse_actor, parse_key
from .origins import origins
from .past_objects import notes
from .rows_after import rows_after
from .stats import Dimension, stats

__all__ = [
    "ANY",
    "AsOf",
    "Diff",
    "Dimension",
    "ModelReader",
    "activities",
    "actor_names",
    "as_of",
    "coverage",
    "diff",
    "find_table",
    "get_as_of",
    "history",
    "notes",
    "origins",
    "parse_actor",
    "parse_key",
    "referencing_tables",
    "row_as_of",
    "rows_after",
    "schema_of",
    "stats",
]
