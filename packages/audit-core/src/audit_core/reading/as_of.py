"""Rows as they were at an instant."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    FromClause,
    RowMapping,
    Select,
    Table,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import Subquery

from ..errors import HistoryError, HistoryWarning
from .activities import ANY
from .audited_table import AuditedTable, execute
from .coverage import begun_empty, last_loss, limit, limits
from .entities import Entity
from .exact import exact_text, pg
from .instants import beside, past
from .known_keys import ROW_KEY, Keyed
from .live_rows import live_rows
from .merging import ROW_VERBS
from .past_notes import last_bypass
from .past_objects import (
    BYPASS_NOTE,
    LOSS_NOTE,
    PastObjects,
    build_labelled,
    no_row_note,
)
from .past_rows import past_rows

if TYPE_CHECKING:
    from ..scope import Scope

_EXTRA_COLUMNS = ("audit_activity_id", "audit_notes", ROW_KEY)


class AsOf(Keyed):
    """The rows of a table as they were at an instant, to select from, filter and join.

    In addition to the columns of the table there are ``audit_activity_id``, the activity that left the row in this
    state, ``audit_notes``, how it may differ from the row as it was, and ``audit_row_key``, its primary key as the
    trail has it.
    """

    inherit_cache = True

    _entity: Entity

    @property
    def objects(self) -> PastObjects[Any]:
        """The rows as objects of the model, which belong to no session: ``select(rows.objects)``.

        :raises HistoryError: if these are the rows of a Table and not of a model.
        """
        entity = self._entity
        if entity.mapper is None:
            raise HistoryError(
                f"as_of() was asked for the table {entity.audited.table.fullname!r}; ask for its model to get objects."
            )
        return PastObjects(entity.mapper, entity.labels, self.c)


def as_of(scope: Scope, model: Any, when: dt.datetime, key: Any = ANY, *, live: bool = False) -> AsOf:
    """Select the rows of a model as they were; see :meth:`audit_core.AuditLog.as_of`."""
    entity, when = Entity.find(scope, model), past(when)
    if live:
        return _as_of(entity, _rows_of(entity, when, key, live=True))
    rows = _rows_of(entity, when, key)
    # A row of which nothing is recorded yet would be taken for one that was not there.
    return _as_of(entity, rows if key is ANY else rows.where(_has_begun(entity.audited, when)))


def get_as_of(scope: Scope, session: Any, model: Any, key: Any, when: dt.datetime) -> Any:
    """Load one row as it was; see :meth:`audit_core.AuditLog.get_as_of`."""
    entity = Entity.find(scope, model)
    row, notes = _row(entity, session, key, past(when))
    if row is None:
        for note in notes:
            table = entity.audited.table
            warnings.warn(HistoryWarning(f"{table.fullname!r} {_shown(key)} was gone, and {note}."), stacklevel=3)
        return None
    return row if entity.mapper is None else build_labelled(entity.mapper, entity.labels, row, row["audit_notes"])


def row_as_of(
    scope: Scope, session: Any, table: Table, key: Any, when: dt.datetime
) -> tuple[RowMapping | None, tuple[str, ...]]:
    """Load one row as it was, None if it was gone, and say in which ways that may be wrong.

    :raises HistoryError: as in :meth:`audit_core.AuditLog.get_as_of`.
    """
    return _row(Entity.find(scope, table), session, key, past(when))


def diff(scope: Scope, session: Any, model: Any, key: Any, a: dt.datetime, b: dt.datetime) -> Diff:
    """Compare a row at two instants; see :meth:`audit_core.AuditLog.diff`."""
    entity = Entity.find(scope, model)
    (old, old_notes), (new, new_notes) = (
        _row(entity, session, key, past(when, name)) for name, when in (("a", a), ("b", b))
    )
    pairs: dict[str, tuple[Any, Any]] = {}
    for each, label in entity.labels.items():
        name = each.name if label == each.key else label
        pairs.setdefault(name, (None if old is None else old[label], None if new is None else new[label]))
    said = dict.fromkeys([*old_notes, *new_notes])
    return Diff({name: pair for name, pair in pairs.items() if pair[0] != pair[1]}, said)


class Diff(dict[str, tuple[Any, Any]]):
    """The columns in which a row differs: ``{column: (old, new)}``."""

    def __init__(self, pairs: Mapping[str, tuple[Any, Any]], notes: Iterable[str]) -> None:
        super().__init__(pairs)
        #: In which ways the answer may be wrong.
        self.notes = tuple(notes)


def _as_of(entity: Entity, rows: Select[Any]) -> AsOf:
    found: AsOf = AsOf._construct(rows)
    found._entity, found._audited = entity, entity.audited
    keys = entity.audited.key_columns
    found._key = entity.labels[keys[0]] if len(keys) == 1 else None
    return found


def _rows_of(entity: Entity, when: dt.datetime, key: Any = ANY, *, live: bool = False) -> Select[Any]:
    """Select the objects of a model, or one of them; of all, only at a time of which something is recorded."""
    parts = {}
    for part in entity.parts:
        for name in _EXTRA_COLUMNS:
            if name in part.table.columns:
                raise HistoryError(
                    f"Table {part.table.fullname!r} has a column {name!r}, which is what as_of() calls one of its own."
                )
        row_key = None if key is ANY else part.row_key(entity.key_of(part, key))
        parts[part.table] = (live_rows if live else past_rows)(part, when, row_key)
        # Of a subclass there may be no object yet. Rows of today are refused at other times by themselves.
        if not live and key is ANY and part in entity.own:
            parts[part.table] = parts[part.table].where(_has_begun(part, when))
    rows = parts[entity.audited.table]
    if len(parts) > 1:
        rows = _joined(entity, {table: part.subquery() for table, part in parts.items()})
    if entity.shares_table and (discriminator := entity.discriminator) is not None:
        kind = rows.selected_columns[entity.labels[discriminator]]
        rows = rows.where(kind.in_(entity.identities))
    return rows


def _joined(entity: Entity, parts: dict[Table, Subquery]) -> Select[Any]:
    """Put the rows together that are in several tables."""
    own = parts[entity.audited.table]
    source: FromClause = own
    said: ColumnElement[Any] = own.c.audit_notes
    kinds = None if entity.mapper is None else entity.mapper.polymorphic_on
    for part in entity.parts[1:]:
        found = parts[part.table]
        source = source.outerjoin(
            found, and_(*(found.c[each.key] == own.c[other.key] for each, other in entity.links(part)))
        )
        is_missing: ColumnElement[bool] = found.c[ROW_KEY].is_(None)
        if part in entity.below:
            # Only the objects of the subclass have a row there.
            is_missing = and_(is_missing, _is_kind(part, kinds, parts))
        unknown = literal([no_row_note(part.table.name)], ARRAY(Text()))
        said = said + func.coalesce(found.c.audit_notes, case((is_missing, unknown), else_=literal([], ARRAY(Text()))))
    columns: dict[str, ColumnElement[Any]] = {}
    for each, label in entity.labels.items():
        columns.setdefault(label, parts[each.table].c[each.key].label(label))
    return select(
        *columns.values(),
        func.greatest(*(each.c.audit_activity_id for each in parts.values()), type_=BigInteger()).label(
            "audit_activity_id"
        ),
        type_coerce(said, ARRAY(Text())).label("audit_notes"),
        own.c[ROW_KEY],
    ).select_from(source)


def _is_kind(part: AuditedTable, kinds: Any, parts: dict[Table, Subquery]) -> ColumnElement[bool]:
    """Return whether a row is one of those that have another one in the table of a subclass."""
    if not isinstance(kinds, Column) or kinds.table not in parts:
        return false()
    assert part.mapper is not None
    identities = [each.polymorphic_identity for each in part.mapper.self_and_descendants]
    return parts[kinds.table].c[kinds.key].in_(identities)


def _has_begun(audited: AuditedTable, when: dt.datetime) -> ColumnElement[bool]:
    """Refuse to answer for a time of which nothing is recorded.

    A query that found nothing would be taken for an empty table, and it cannot raise an error of its own,
    but a cast that fails does.
    """
    any_, first = audited.activities, audited.activities
    until = literal(when, DateTime(timezone=True))
    empty = begun_empty(audited)
    begin = func.least(empty, select(func.min(first.c.issued_at)).where(first.c.verb != "read").scalar_subquery())
    refusal = pg.format(
        f"the history of {audited.table.fullname} begins at %s and not before %s; ask for a later time",
        func.coalesce(cast(begin, Text), exact_text("no time yet")),
        until,
    )
    begun = exists(select(literal(1)).where(any_.c.issued_at <= until, any_.c.verb != "read"))
    since = limit(audited, "known_since")
    removed = pg.format(
        f"retention removed what was recorded of {audited.table.fullname} before %s, and %s is before that",
        func.coalesce(cast(since, Text), exact_text("")),
        until,
    )
    unchanged = pg.format(
        f"retention removed what was recorded of {audited.table.fullname} before %s, and rows that have not changed "
        f"since would be missing: run audit-log retain --snapshot, or op.snapshot_audited_table()",
        since,
    )
    return case(
        (since > until, cast(removed, Boolean)),
        (limit(audited, "lacks_unchanged"), cast(unchanged, Boolean)),
        (or_(since <= until, begun, empty <= until), true()),
        else_=cast(refusal, Boolean),
    )


def _row(entity: Entity, session: Any, key: Any, when: dt.datetime) -> tuple[RowMapping | None, tuple[str, ...]]:
    """Load one row as it was, None if it was gone, with its notes."""
    audited = entity.audited
    row_key = audited.row_key(entity.key_of(audited, key))
    row = execute(audited.scope, session, select(_as_of(entity, _rows_of(entity, when, key)))).mappings().first()
    if row is not None:
        return row, tuple(row["audit_notes"])
    name = f"{audited.table.fullname!r} {_shown(key)}"
    activity = audited.activities
    of_row = select(activity.c.verb, activity.c.issued_at, activity.c.id).where(
        activity.c.verb.in_(ROW_VERBS), activity.c.row_key == row_key
    )
    left = execute(audited.scope, session, select(limits(audited))).one()
    since = left.known_since
    if since is not None and when < since:
        raise HistoryError(
            f"Retention removed what was recorded of {audited.table.fullname!r} before {beside(when, since)}, and "
            f"{when.isoformat()} is before that."
        )
    if since is not None:
        of_row = of_row.where(activity.c.issued_at >= limit(audited, "removed_until"))
    first = execute(audited.scope, session, of_row.order_by(activity.c.id).limit(1)).first()
    at = literal(when, DateTime(timezone=True))
    # Of a table that was empty when recording began, what has no activity was not there.
    is_complete = execute(audited.scope, session, select(begun_empty(audited) <= at)).scalar()
    lost = execute(audited.scope, session, select(last_loss(audited, at))).scalar()
    if is_complete and (first is None or (first.verb == "insert" and first.issued_at > when)):
        return None, () if lost is None else (LOSS_NOTE,)
    if since is not None and first is None and left.lacks_unchanged:
        raise HistoryError(
            f"Nothing is recorded of {name} since {beside(when, since)}, before which retention removed everything. If "
            "it is there today, it has not changed since."
        )
    if since is not None and (first is None or first.issued_at > when):
        # What came later says how a row was before it, and of this one, that it was not there.
        return None, () if lost is None else (LOSS_NOTE,)
    if first is None:
        raise HistoryError(
            f"Nothing is recorded of {name}. If it is older than the trail, op.snapshot_audited_table() records it."
        )
    if first.issued_at > when:
        raise HistoryError(
            f"The history of {name} begins at {beside(when, first.issued_at)} with its {first.verb}, and "
            f"{when.isoformat()} is before that. Ask for a later time."
        )
    last = execute(
        audited.scope,
        session,
        of_row.where(activity.c.issued_at <= when).order_by(activity.c.id.desc()).limit(1),
    ).one()
    bypass = execute(audited.scope, session, last_bypass(audited, at)).scalar()
    said = [BYPASS_NOTE] if bypass is not None and bypass > last.id else []
    if lost is not None and lost > last.issued_at:
        said.append(LOSS_NOTE)
    return None, tuple(said)


def _shown(key: Any) -> str:
    """Write a key as it is given, also where a single value came in a tuple."""
    return repr(key[0] if isinstance(key, (tuple, list)) and len(key) == 1 else key)
