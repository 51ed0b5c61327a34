"""What audit-alembic and flask-audit-logger take from the core, beside its public names.

Nothing of it is for applications: it changes with any version, and the packages are released together. What is of the
command line is in :mod:`audit_core.cli.siblings`, which needs an extra.
"""

from .audit_log import find_audit_log, scope_of
from .audited import audited_tables, foreign_keys_of, is_audited
from .capture.forgotten import leave_unattached
from .capture.resolving import Resolvers
from .exporting.columns import select_columns
from .exporting.writers import Csv, JsonLines
from .importing import Renamed, find_source, import_within
from .installation.catalog import audit_relations, function_names
from .installation.catalog import read as read_installed
from .installation.checking import creators
from .installation.compare import Difference, InitTrail, InitTriggers, RefreshTrail, RemoveTriggers, UpgradeTrail
from .installation.ddl import Statement, require_postgresql
from .installation.objects import TableTriggers, Trail
from .installation.predecessor import TRIGGERS as TRIGGERS_OF_PREDECESSORS
from .installation.predecessor import Predecessor, read_predecessors
from .installation.wanted import actor_id_type_problem, differences
from .options import INFO_KEY, OPERATIONS, TableOptions, deprecation
from .quoting import BODY_TAG, literal, qualified, quote
from .reading import find_table, parse_actor, parse_key, row_as_of, rows_after, schema_of
from .reading.activities import VERBS, is_of_actor
from .reading.actor_names import NAMES as NAMES_OF_ACTORS
from .reading.actor_names import UNNAMEABLE, naming_column, says_itself, short_name
from .reading.audited_table import execute
from .reading.bounds import FIRST_ID, LAST_ID, ClosedPartitions, read_closed
from .reading.changes import mapper_of, table_of
from .reading.exact import equal, operate, pg
from .reading.past_objects import why_unknown
from .reading.values import dump_json, for_people
from .request import request_id_of, request_meta, storable
from .scope import Scope
from .seals.stored import sealed_in
from .settings import fixed_search_path
from .undo.claims import undone_by
from .undo.ignoring import ignored_columns
from .undo.refusals import headline
from .words import Budget, Piece, compare, edits_between, fold

__all__ = [
    "BODY_TAG",
    "FIRST_ID",
    "INFO_KEY",
    "LAST_ID",
    "NAMES_OF_ACTORS",
    "OPERATIONS",
    "TRIGGERS_OF_PREDECESSORS",
    "UNNAMEABLE",
    "VERBS",
    "Budget",
    "ClosedPartitions",
    "Csv",
    "Difference",
    "InitTrail",
    "InitTriggers",
    "JsonLines",
    "Piece",
    "Predecessor",
    "RefreshTrail",
    "RemoveTriggers",
    "Renamed",
    "Resolvers",
    "Scope",
    "Statement",
    "TableOptions",
    "TableTriggers",
    "Trail",
    "UpgradeTrail",
    "actor_id_type_problem",
    "audit_relations",
    "audited_tables",
    "compare",
    "creators",
    "deprecation",
    "differences",
    "dump_json",
    "edits_between",
    "equal",
    "execute",
    "find_audit_log",
    "find_source",
    "find_table",
    "fixed_search_path",
    "fold",
    "for_people",
    "foreign_keys_of",
    "function_names",
    "headline",
    "ignored_columns",
    "import_within",
    "is_audited",
    "is_of_actor",
    "leave_unattached",
    "literal",
    "mapper_of",
    "naming_column",
    "operate",
    "parse_actor",
    "parse_key",
    "pg",
    "qualified",
    "quote",
    "read_closed",
    "read_installed",
    "read_predecessors",
    "request_id_of",
    "request_meta",
    "require_postgresql",
    "row_as_of",
    "rows_after",
    "says_itself",
    "schema_of",
    "scope_of",
    "sealed_in",
    "select_columns",
    "short_name",
    "storable",
    "table_of",
    "undone_by",
    "why_unknown",
]
