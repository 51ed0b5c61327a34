"""When recording of a table began and ended, and what that leaves unknown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Integer,
    ScalarSelect,
    Select,
    TableClause,
    and_,
    case,
    column,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, OID
from sqlalchemy.orm import InstrumentedAttribute

from .audited_table import AuditedTable
from .exact import ExactText, exact_text, operate
from .names import find_table

if TYPE_CHECKING:
    from ..scope import Scope

#: Without one of these, changes of rows are missing.
OF_ROWS = ("delete", "insert", "update")


def coverage(scope: Scope, wanted: Any = None) -> Select[Any]:
    """Select when recording began, changed and ended; see :meth:`audit_core.AuditLog.coverage`."""
    events = coverage_table(scope)
    query = select(events).order_by(events.c.issued_at.desc())
    if wanted is None:
        return query
    wanted = find_table(scope, wanted) if isinstance(wanted, str) else getattr(wanted, "__table__", wanted)
    return query.where(AuditedTable.find(scope, wanted).is_of(events.c))


def coverage_table(scope: Scope) -> TableClause:
    """The table that says when what was recorded."""
    return table(
        "activity_coverage",
        column("issued_at", DateTime(timezone=True)),
        column("event", ExactText),
        column("since", DateTime(timezone=True)),
        column("schema", ExactText),
        column("table_name", ExactText),
        column("relid", OID),
        column("operations", ARRAY(ExactText())),
        column("arguments", ARRAY(ExactText())),
        column("sql_version", Integer),
        column("row_count", BigInteger),
        column("row_count_is_exact", Boolean),
        column("actor_id", ExactText),
        column("db_user", ExactText),
        column("application_name", ExactText),
        schema=scope.schema,
    )


def limits(audited: AuditedTable) -> CTE:
    """Select, in one row, what retention left of the table; all NULL if it never removed anything of it.

    ``removed_until`` is the time before which activities were removed: what is left from before, because it was held,
    does not tell how a row was. ``known_since`` is the time from which all is known, and ``lacks_unchanged`` whether
    rows that did not change since have no activity.
    """
    found: CTE | None = audited.kept.get("limits")
    if found is None:
        found = audited.kept["limits"] = _limits(audited)
    return found


def limit(audited: AuditedTable, name: str) -> ScalarSelect[Any]:
    """Select one of the :func:`limits`."""
    return select(limits(audited).c[name]).scalar_subquery()


def is_kept(audited: AuditedTable, issued_at: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    """Return whether an activity is not from before what retention removed."""
    return func.coalesce(issued_at >= limit(audited, "removed_until"), true())


def _limits(audited: AuditedTable) -> CTE:
    kept, empty = retention_table(audited.scope), exact_text("")
    removed_until = func.max(kept.c.known_since)
    events = coverage_table(audited.scope)
    began = (
        select(func.min(events.c.issued_at))
        .where(audited.is_of(events.c), events.c.event == exact_text("begin"))
        .scalar_subquery()
    )
    removed_at, taken_at = func.max(kept.c.removed_at), func.max(kept.c.snapshot_at)
    return (
        select(
            removed_until.label("removed_until"),
            case((removed_until.is_not(None), func.greatest(removed_until, began))).label("known_since"),
            and_(removed_at.is_not(None), func.coalesce(taken_at < removed_at, true())).label("lacks_unchanged"),
        )
        .where(
            or_(
                and_(kept.c.schema == empty, kept.c.table_name == empty),
                and_(
                    kept.c.table_name == exact_text(audited.table.name),
                    kept.c.schema == audited.schema,
                ),
            )
        )
        .cte()
    )


def retention_table(scope: Scope) -> TableClause:
    """The table that says how long activities are kept; without the name of a table, of all of them."""
    return table(
        "activity_retention",
        column("schema", ExactText),
        column("table_name", ExactText),
        column("known_since", DateTime(timezone=True)),
        column("removed_at", DateTime(timezone=True)),
        column("snapshot_at", DateTime(timezone=True)),
        schema=scope.schema,
    )


def last_loss(audited: AuditedTable, until: ColumnElement[Any]) -> ScalarSelect[Any]:
    """Select the last time, before another one, at which changes of the table may not have been recorded; or NULL.

    The query does not depend on a row: the database answers it once.
    """
    events = coverage_table(audited.scope)
    own = select(events, func.lead(events.c.issued_at).over(order_by=events.c.issued_at).label("ended_at")).where(
        audited.is_of(events.c)
    )
    event = own.subquery()
    wanted = literal(list(OF_ROWS), ARRAY(ExactText()))
    # Of a table that is audited in part now, that is said in other words.
    is_partial = not_(operate(event.c.operations, "@>", wanted)) if audited.options.is_complete else false()
    lost = case(
        # Somebody had dropped or altered the triggers, nobody knows when.
        (event.c.event == exact_text("gap"), event.c.issued_at),
        (event.c.event == exact_text("end"), func.coalesce(event.c.ended_at, until)),
        (is_partial, func.coalesce(event.c.ended_at, until)),
    )
    began = func.coalesce(event.c.since, event.c.issued_at)
    known = and_(lost.is_not(None), began <= until)
    return select(func.max(func.least(lost, until))).where(known).scalar_subquery()


def begun_empty(audited: AuditedTable) -> ScalarSelect[Any]:
    """Select when recording began of a table that had no rows, so that all of them are recorded since; or NULL."""
    events = coverage_table(audited.scope)
    return (
        select(func.min(events.c.issued_at))
        .where(
            audited.is_of(events.c),
            events.c.event == exact_text("begin"),
            events.c.row_count == 0,
            events.c.row_count_is_exact,
            limit(audited, "removed_until").is_(None),
        )
        .scalar_subquery()
    )


def is_off(audited: AuditedTable, when: ColumnElement[Any]) -> Select[Any]:
    """Select from when on a table was not recorded, and until when if that is over; nothing if it was recorded."""
    events = coverage_table(audited.scope)
    event = (
        select(
            events.c.event,
            func.coalesce(events.c.since, events.c.issued_at).label("began_at"),
            case(
                (events.c.event == exact_text("gap"), events.c.issued_at),
                else_=func.lead(events.c.issued_at).over(order_by=events.c.issued_at),
            ).label("ended_at"),
        )
        .where(audited.is_of(events.c))
        .subquery()
    )
    return select(event.c.began_at, event.c.ended_at).where(
        or_(event.c.event == exact_text("gap"), event.c.event == exact_text("end")),
        event.c.began_at <= when,
        or_(event.c.ended_at.is_(None), event.c.ended_at > when),
    )
