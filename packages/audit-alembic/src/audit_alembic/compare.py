"""What autogenerate does for the audit trail.

The first comparator hides our objects from those that would drop them, the last one adds our operations
around those that Alembic found. Which trail belongs to which tables is found in ``MetaData.info``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation
from alembic.operations.ops import DropTableOp, UpgradeOps
from alembic.util import PriorityDispatchResult, to_list
from audit_core import AuditLog
from audit_core.siblings import (
    INFO_KEY,
    Difference,
    InitTrail,
    InitTriggers,
    Predecessor,
    RefreshTrail,
    RemoveTriggers,
    UpgradeTrail,
    actor_id_type_problem,
    audit_relations,
    creators,
    deprecation,
    differences,
    find_audit_log,
    fixed_search_path,
    function_names,
    is_audited,
    read_installed,
    read_predecessors,
    require_postgresql,
    scope_of,
)
from sqlalchemy import MetaData

from .errors import command_errors
from .ops import (
    AuditOperation,
    InitAuditLoggerOp,
    InitAuditLoggerTriggersOp,
    RefreshAuditLoggerOp,
    RemoveAuditLoggerTriggersOp,
    UpgradeAuditLoggerOp,
)
from .predecessor import ASIDE, SetAuditTrailAsideOp

# Below "alembic", so that the logging configuration of an alembic.ini does not switch it off.
log = logging.getLogger("alembic.autogenerate.audit_logger")


@command_errors()
def hide_trail(autogen_context: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Hide the audit tables from Alembic, and functions, triggers and grants from alembic_utils."""
    connection = autogen_context.connection
    assert connection is not None
    if any(_audit_logs(autogen_context)):
        require_postgresql(connection.dialect)
    if connection.dialect.name == "postgresql":
        # All trails of the database: a logger that moves to another schema leaves one behind.
        with fixed_search_path(connection):
            hidden = audit_relations(connection) | _others(autogen_context, read_predecessors(connection))
        default_schema = connection.dialect.default_schema_name or "public"
        autogen_context._name_filters.append(_name_filter(hidden, default_schema))
        autogen_context._object_filters.append(_object_filter(hidden))
    return PriorityDispatchResult.CONTINUE


@command_errors()
def add_operations(autogen_context: AutogenContext, upgrade_ops: UpgradeOps) -> PriorityDispatchResult:
    """Put our operations before and after those that Alembic found."""
    connection = autogen_context.connection
    assert connection is not None
    for metadata in _metadatas(autogen_context):
        if find_audit_log(metadata) is None:
            _warn_of_audited_tables(metadata)
    dropped = frozenset((op.schema, op.table_name) for op in upgrade_ops.ops if isinstance(op, DropTableOp))
    before: list[MigrateOperation] = []
    after: list[MigrateOperation] = []
    for audit_log in _audit_logs(autogen_context):
        with fixed_search_path(connection):
            installed = read_installed(connection, audit_log.schema)
            predecessors = read_predecessors(connection)
        for operation in _set_aside(audit_log, predecessors, installed.default_schema):
            found = operation.predecessor
            log.info("Detected an audit trail of %s in schema %r", found.source, found.schema)
            before.append(operation)
            if operation.into is not None:
                installed = replace(installed, trail=replace(installed.trail, foreign_tables=frozenset()))
        if message := installed.version_problem:
            log.warning("%s Nothing is generated for it.", message)
            continue
        if message := actor_id_type_problem(scope_of(audit_log), connection):
            log.warning("%s", message)
        for table in audit_log.metadata.tables.values():
            if is_audited(table) and INFO_KEY not in table.info:
                log.warning("%s", deprecation(table))
        for difference in differences(scope_of(audit_log), installed, dropped):
            log.info("Detected %s", difference.summary)
            if isinstance(difference, InitTrail):
                for message in creators(connection, audit_log.schema):
                    log.warning("%s", message)
            early = isinstance(difference, (InitTrail, RemoveTriggers))
            (before if early else after).append(_operation(difference))
    upgrade_ops.ops[:] = [*before, *upgrade_ops.ops, *after]
    return PriorityDispatchResult.CONTINUE


def _others(autogen_context: AutogenContext, predecessors: list[Predecessor]) -> set[tuple[str, str]]:
    """Return the tables of other trails, which nobody declares any more, and which hold what was recorded."""
    declared = {
        (table.schema or "public", table.name)
        for metadata in _metadatas(autogen_context)
        for table in metadata.tables.values()
    }
    tables = {(each.schema, name) for each in predecessors for name in ("activity", "transaction")}
    return tables - declared


def _set_aside(
    audit_log: AuditLog, predecessors: list[Predecessor], default_schema: str
) -> Iterator[SetAuditTrailAsideOp]:
    """Set aside what is in the place of a trail, and what records its tables beside it."""
    known = {(table.schema or default_schema, table.name) for table in audit_log.metadata.tables.values()}
    if known & {(audit_log.schema, "activity"), (audit_log.schema, "transaction")}:
        return
    for each in predecessors:
        if each.schema == audit_log.schema:
            yield SetAuditTrailAsideOp(each, ASIDE[each.source])
        elif each.tables and known.issuperset(each.tables):
            yield SetAuditTrailAsideOp(each, None)


def _metadatas(autogen_context: AutogenContext) -> list[MetaData]:
    return to_list(autogen_context.metadata, [])


def _audit_logs(autogen_context: AutogenContext) -> Iterator[AuditLog]:
    for metadata in _metadatas(autogen_context):
        if (audit_log := find_audit_log(metadata)) is not None:
            yield audit_log


def _warn_of_audited_tables(metadata: MetaData) -> None:
    for name, table in sorted(metadata.tables.items()):
        if is_audited(table):
            log.warning(
                "Table %r is declared 'versioned', and no AuditLog has been made for its MetaData: its changes "
                "will not be recorded.",
                name,
            )


def _operation(difference: Difference) -> AuditOperation:
    if isinstance(difference, InitTrail):
        return InitAuditLoggerOp(difference.trail)
    if isinstance(difference, UpgradeTrail):
        return UpgradeAuditLoggerOp(difference.trail.schema, difference.trail.version, difference.to_version)
    if isinstance(difference, RefreshTrail):
        return RefreshAuditLoggerOp(difference.trail)
    if isinstance(difference, InitTriggers):
        return InitAuditLoggerTriggersOp(difference.triggers, difference.replaces, difference.repairs)
    return RemoveAuditLoggerTriggersOp(difference.triggers)


def _name_filter(
    hidden: set[tuple[str, str]], default_schema: str
) -> Callable[[str | None, str, Mapping[str, str | None]], bool]:
    """Exclude the tables of the trail from reflection."""

    def include(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
        return type_ != "table" or (parent_names.get("schema_name") or default_schema, name) not in hidden

    return include


def _object_filter(hidden: set[tuple[str, str]]) -> Callable[[Any, str | None, str, bool, Any], bool]:
    """Hide the rest from alembic_utils, whose objects are known by their attributes: it need not be installed."""
    functions = frozenset(function_names())

    def include(object_: Any, name: str | None, type_: str, reflected: bool, compare_to: Any) -> bool:
        if not reflected:
            return True
        if type_ == "function":
            return object_.signature.partition("(")[0].strip('"') not in functions
        if type_ == "trigger":
            return not any(f"{function}(" in object_.definition for function in functions)
        if type_ == "grant_table":
            return (object_.schema, object_.table) not in hidden
        return True

    return include
