"""What audit-alembic and flask-audit-logger take from the core, beside its public names.

Nothing of it is for applications: it changes with any version, and the packages are released together. What is of the
command line is in :mod:`audit_core.cli.siblings`, which needs an extra.
"""

from .audit_log import Resolvers, find_audit_log
from .catalog import audit_relations, function_names
from .catalog import read as read_installed
from .checking import creators
from .compare import InitTrail, InitTriggers, RefreshTrail, RemoveTriggers, Step, UpgradeTrail
from .config import OPERATIONS, Versioned
from .ddl import Statement, require_postgresql
from .objects import TableTriggers, Trail
from .quoting import literal, qualified
from .reading import find_table, parse_actor, parse_key, row_as_of, schema_of
from .reading.activities import VERBS, is_of_actor
from .reading.changes import table_of
from .reading.exact import equal, pg
from .reading.tracked import execute
from .reading.values import dump_json
from .refusals import headline
from .settings import fixed_search_path
from .tracking import is_tracked, tracked_tables

__all__ = [
    "OPERATIONS",
    "VERBS",
    "InitTrail",
    "InitTriggers",
    "RefreshTrail",
    "RemoveTriggers",
    "Resolvers",
    "Statement",
    "Step",
    "TableTriggers",
    "Trail",
    "UpgradeTrail",
    "Versioned",
    "audit_relations",
    "creators",
    "dump_json",
    "equal",
    "execute",
    "find_audit_log",
    "find_table",
    "fixed_search_path",
    "function_names",
    "headline",
    "is_of_actor",
    "is_tracked",
    "literal",
    "parse_actor",
    "parse_key",
    "pg",
    "qualified",
    "read_installed",
    "require_postgresql",
    "row_as_of",
    "schema_of",
    "table_of",
    "tracked_tables",
]
