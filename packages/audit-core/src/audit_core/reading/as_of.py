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
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, HSTORE, JSONB
from sqlalchemy.sql.selectable import Subquery

from ..errors import HistoryError, HistoryWarning
from .activities import ANY
from .audited_table import AuditedTable, array_of, execute
from .bounds import LAST_ID, end_id_until
from .chain import is_torn
from .coverage import begun_empty, last_loss, limit, limits
from .entities import Entity
from .exact import ExactText, exact_text, operate, pg
from .instants import past
from .merging import ROW_VERBS, changed, whole_before
from .past_objects import (
    BYPASS_NOTE,
    LOSS_NOTE,
    TORN_NOTE,
    TRUNCATE_NOTE,
    PastObjects,
    build_labelled,
    erased_note,
    masked_note,
    missing_note,
    no_row_note,
)
from .relations import pg_class
from .types import StoredType

if TYPE_CHECKING:
    from ..scope import Scope

_PAIR = (column("key", ExactText), column("value", ExactText))
_EXTRA_COLUMNS = ("audit_activity_id", "audit_notes")


class AsOf(Subquery):
    """The rows of a table as they were at an instant, to select from, filter and join.

    In addition to the columns of the table there are ``audit_activity_id``, the activity that left the row in this
    state, and ``audit_notes``, how it may differ from the row as it was.
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


def as_of(scope: Scope, model: Any, when: dt.datetime, key: Any = ANY) -> AsOf:
    """Select the rows of a model as they were; see :meth:`audit_core.AuditLog.as_of`."""
    entity, when = Entity.find(scope, model), past(when)
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
            warnings.warn(HistoryWarning(f"{table.fullname!r} {key!r} was gone, and {note}."), stacklevel=3)
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
    found._entity = entity
    return found


def _rows_of(entity: Entity, when: dt.datetime, key: Any = ANY) -> Select[Any]:
    """Select the objects of a model, or one of them; of all, only at a time of which something is recorded."""
    parts = {}
    for part in entity.parts:
        row_key = None if key is ANY else part.row_key(entity.key_of(part, key))
        parts[part.table] = _rows(part, when, row_key)
        # Of a subclass there may be no object yet.
        if key is ANY and part in entity.own:
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
        is_missing: ColumnElement[bool] = found.c.audit_activity_id.is_(None)
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
    ).select_from(source)


def _is_kind(part: AuditedTable, kinds: Any, parts: dict[Table, Subquery]) -> ColumnElement[bool]:
    """Return whether a row is one of those that have another one in the table of a subclass."""
    if not isinstance(kinds, Column) or kinds.table not in parts:
        return false()
    assert part.mapper is not None
    identities = [each.polymorphic_identity for each in part.mapper.self_and_descendants]
    return parts[kinds.table].c[kinds.key].in_(identities)


def _rows(audited: AuditedTable, when: dt.datetime, row_key: ColumnElement[str] | None = None) -> Select[Any]:
    """Select the rows of a table, or one of them, as the last activity until then left them."""
    for name in _EXTRA_COLUMNS:
        if name in audited.table.columns:
            raise HistoryError(
                f"Table {audited.table.fullname!r} has a column {name!r}, which is what as_of() calls one of its own."
            )
    until = literal(when, DateTime(timezone=True))
    latest = _latest(audited, when, row_key)
    activity = audited.activities
    before = whole_before(activity.c, audited.scope.activity_cls)
    left = case(
        (latest.c.is_before, before),
        else_=operate(before, "||", changed(activity.c), JSONB()),
    )
    # Computed once, whatever looks at it.
    state = select(left.label("data")).offset(0).correlate(latest, activity).lateral()
    data = state.c.data
    columns = [column(each.name, StoredType(each.type)) for each in audited.table.columns]
    values = readable(audited, data, activity.c.masked)
    record = pg.jsonb_to_record(values).table_valued(*columns).render_derived(with_types=True)
    return (
        select(
            *(_as(each, record.c[each.name]) for each in audited.table.columns),
            activity.c.id.label("audit_activity_id"),
            _notes(audited, activity, data, until).label("audit_notes"),
        )
        .select_from(latest)
        .join(
            activity,
            and_(
                activity.c.id == latest.c.id,
                case(
                    (latest.c.is_before, func.coalesce(activity.c.old_row_key, activity.c.row_key)),
                    else_=activity.c.row_key,
                )
                == latest.c.row_key,
                or_(
                    and_(
                        not_(latest.c.is_before),
                        or_(activity.c.issued_at <= until, activity.c.verb == "snapshot"),
                        activity.c.verb != "delete",
                    ),
                    and_(latest.c.is_before, activity.c.verb.in_(("update", "delete"))),
                ),
            ),
        )
        .join(state, true())
        .join(record, true())
        .where(not_(_is_truncated(audited, activity.c, until)))
    )


def _as(wanted: Column[Any], value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Label a value as a column, in a way that ``aliased(Model, rows)`` takes it for that column."""
    coerced = type_coerce(value, wanted.type)
    coerced._proxies = [wanted]
    return coerced.label(wanted.key)


def _latest(audited: AuditedTable, when: dt.datetime, row_key: ColumnElement[str] | None) -> Subquery:
    """Select each key with the last activity that gave it to a row or took it from one.

    Where retention removed what was before, the first activity afterwards says what a row was before it.
    """
    until = literal(when, DateTime(timezone=True))
    cut = func.coalesce(limit(audited, "removed_until"), cast(exact_text("-infinity"), DateTime(timezone=True)))
    given = audited.activities

    # Of one row an index finds what there is.
    end = end_id_until(audited.scope, when) if row_key is None else literal(LAST_ID, BigInteger())

    def is_before(activity: Any) -> ColumnElement[bool]:
        return and_(activity.id < end, activity.issued_at <= until, activity.issued_at >= cut)

    query = select(given.c.row_key, given.c.id).where(given.c.verb.in_(ROW_VERBS), is_before(given.c))
    taken = audited.activities
    other = audited.activities
    # Where rows change places in one statement, the key that one gives up belongs to another one.
    is_taken_over = exists(
        _one().where(
            other.c.row_key == taken.c.old_row_key,
            other.c.native_transaction_id == taken.c.native_transaction_id,
            other.c.issued_at == taken.c.issued_at,
            other.c.id < taken.c.id,
        )
    )
    left = select(taken.c.old_row_key, taken.c.id).where(
        taken.c.old_row_key.is_not(None), is_before(taken.c), not_(is_taken_over)
    )
    if row_key is not None:
        query = query.where(given.c.row_key == row_key)
        left = left.where(taken.c.old_row_key == row_key)
    # Named once: what is named twice would be written down, all of it, before it is grouped.
    events = union_all(query, left).subquery()
    last = select(events.c.row_key, func.max(events.c.id).label("id"), false().label("is_before")).group_by(
        events.c.row_key
    )
    later = _first_afterwards(audited, until, row_key).cte()
    known, gone = audited.activities, audited.activities
    is_known = or_(
        exists(_one().where(known.c.row_key == later.c.row_key, known.c.verb.in_(ROW_VERBS), is_before(known.c))),
        exists(_one().where(gone.c.old_row_key == later.c.row_key, is_before(gone.c))),
    )
    return union_all(last, select(later.c.row_key, later.c.id, later.c.is_before).where(not_(is_known))).subquery()


def _first_afterwards(
    audited: AuditedTable, until: ColumnElement[dt.datetime], row_key: ColumnElement[str] | None
) -> Select[Any]:
    """Select each key with its first activity after an instant, if retention removed what was before.

    A snapshot was taken of a row that had not changed.
    """
    given, taken = audited.activities, audited.activities
    verb = case((given.c.old_row_key.is_not(None), exact_text("insert")), else_=given.c.verb)
    arrivals = select(given.c.row_key, given.c.id, verb.label("verb")).where(
        given.c.verb.in_(ROW_VERBS), given.c.issued_at > until
    )
    departures = select(taken.c.old_row_key, taken.c.id, taken.c.verb).where(
        taken.c.old_row_key.is_not(None), taken.c.issued_at > until
    )
    if row_key is not None:
        arrivals = arrivals.where(given.c.row_key == row_key)
        departures = departures.where(taken.c.old_row_key == row_key)
    # Where nothing was removed, nothing of this is read.
    was_cut = limit(audited, "known_since") <= until
    events = union_all(arrivals.where(was_cut), departures.where(was_cut)).subquery()
    first = select(
        events.c.row_key,
        events.c.id,
        events.c.verb,
        func.row_number().over(partition_by=events.c.row_key, order_by=events.c.id).label("place"),
    ).subquery()
    return select(first.c.row_key, first.c.id, (first.c.verb != "snapshot").label("is_before")).where(
        first.c.place == 1, first.c.verb != "insert"
    )


def _is_truncated(audited: AuditedTable, row: Any, until: ColumnElement[dt.datetime]) -> ColumnElement[bool]:
    """Return whether a TRUNCATE ended a row; that of one partition ends only the rows in it."""
    activity = audited.activities
    last = (
        select(activity.c.relid, func.max(activity.c.id).label("id"))
        .where(activity.c.row_key.is_(None), activity.c.verb == "truncate", activity.c.issued_at <= until)
        .group_by(activity.c.relid)
        .subquery()
    )
    relation, of_row = pg_class.alias(), pg_class.alias()
    # Of a partitioned table each partition speaks for itself. That the numbers are equal is all that is asked: in
    # a database that was restored they are those of another one. A table that is not partitioned may have been made
    # anew, with another number; one that is gone cannot have held a row of one that is still there.
    of_other = case(
        (audited.is_partitioned, false()),
        (relation.c.oid.is_(None), ~exists(_one().where(of_row.c.oid == row.relid).correlate_except(of_row))),
        else_=not_(relation.c.relispartition),
    )
    return exists(
        _one()
        .select_from(last.outerjoin(relation, relation.c.oid == last.c.relid))
        .where(last.c.id > row.id, or_(row.relid == last.c.relid, of_other))
    )


def _last_bypass(audited: AuditedTable, until: ColumnElement[dt.datetime]) -> Select[Any]:
    """Select the last activity that says that something of the table was not recorded."""
    activity = audited.activities
    return _last(
        select(activity.c.id).where(
            activity.c.row_key.is_(None), activity.c.verb == "bypass", activity.c.issued_at <= until
        )
    )


def _last_truncate(audited: AuditedTable, until: ColumnElement[dt.datetime]) -> Select[Any]:
    """Select the last TRUNCATE of a partition that is there."""
    activity = audited.activities
    return _last(
        select(activity.c.id).where(
            activity.c.row_key.is_(None),
            activity.c.verb == "truncate",
            activity.c.relid.in_(select(audited.numbers_now.c.relid)),
            activity.c.issued_at <= until,
        )
    )


def _last(found: Select[Any]) -> Select[Any]:
    """Select the greatest of few ids, which an index finds: not by a walk back from the newest of all."""
    ids = found.offset(literal_column("0")).subquery()
    return select(func.max(ids.c.id))


def _one() -> Select[Any]:
    return select(literal(1))


def readable(audited: AuditedTable, data: ColumnElement[Any], masked: ColumnElement[Any]) -> ColumnElement[Any]:
    """Convert a recorded row to what the types of its columns read, without those that are masked."""
    for each in audited.table.columns:
        if isinstance(each.type, HSTORE):
            data = _with_hstore(data, each.name)
    return case((masked.is_not(None), operate(data, "-", masked, JSONB())), else_=data)


def _with_hstore(data: ColumnElement[Any], name: str) -> ColumnElement[Any]:
    """Write an hstore, which PostgreSQL converts to a JSON object and not back, as its text."""
    value = operate(data, "->", exact_text(name), JSONB())
    pair = pg.jsonb_each_text(value).table_valued(*_PAIR, joins_implicitly=True)
    pairs = _hstore_string(pair.c.key) + "=>" + func.coalesce(_hstore_string(pair.c.value), "NULL")
    joined = pg.string_agg(pairs, exact_text(", "), type_=ExactText())
    text = select(func.coalesce(joined, "")).correlate_except(pair).scalar_subquery()
    written = pg.jsonb_build_object(exact_text(name), text, type_=JSONB())
    is_object = pg.jsonb_typeof(value, type_=ExactText()) == "object"
    return case((is_object, operate(data, "||", written, JSONB())), else_=data)


def _hstore_string(value: ColumnElement[str]) -> ColumnElement[str]:
    for character in ("\\", '"'):
        value = pg.replace(value, exact_text(character), exact_text(f"\\{character}"), type_=ExactText())
    return exact_text('"') + value + '"'


def _notes(
    audited: AuditedTable, activity: FromClause, data: ColumnElement[Any], until: ColumnElement[dt.datetime]
) -> ColumnElement[Any]:
    missing = _unnest([each.name for each in audited.table.columns])
    masked = pg.unnest(activity.c.masked, type_=ExactText()).column_valued()
    is_erased = pg.array_position(activity.c.erased, masked).is_not(None)
    said = [
        select(pg.format(exact_text(missing_note("%s")), missing)).where(not_(operate(data, "?", missing))),
        select(
            case(
                (is_erased, pg.format(exact_text(erased_note("%s")), masked)),
                else_=pg.format(exact_text(masked_note("%s")), masked),
            )
        )
        .where(operate(data, "?", masked))
        .correlate(activity),
        select(exact_text(BYPASS_NOTE))
        .where(activity.c.id < _last_bypass(audited, until).scalar_subquery())
        .correlate(activity),
        select(exact_text(TRUNCATE_NOTE))
        .where(
            audited.is_partitioned,
            activity.c.relid.not_in(select(audited.numbers_now.c.relid)),
            activity.c.id < _last_truncate(audited, until).scalar_subquery(),
        )
        .correlate(activity),
    ]
    said.append(
        select(exact_text(LOSS_NOTE)).where(activity.c.issued_at < last_loss(audited, until)).correlate(activity)
    )
    said.append(select(exact_text(TORN_NOTE)).where(is_torn(audited, activity.c)).correlate(activity))
    if not audited.options.is_complete:
        only = ", ".join(audited.options.operations)
        said.append(select(exact_text(f"of this table only {only} is recorded")))
        return type_coerce(array_of(union_all(*said)), ARRAY(Text()))
    # Of most rows there is nothing to say, and finding that out is cheaper than putting nothing together.
    names = literal([each.name for each in audited.table.columns], ARRAY(Text()))
    is_silent = and_(
        operate(data, "?&", names),
        activity.c.masked.is_(None),
        activity.c.id >= func.coalesce(_last_bypass(audited, until).scalar_subquery(), activity.c.id),
        activity.c.issued_at >= func.coalesce(last_loss(audited, until), activity.c.issued_at),
        not_(audited.is_partitioned),
        not_(is_torn(audited, activity.c)),
    )
    nothing = literal([], ARRAY(Text()))
    return type_coerce(case((is_silent, nothing), else_=array_of(union_all(*said))), ARRAY(Text()))


def _unnest(names: list[str]) -> ColumnElement[str]:
    return pg.unnest(literal(names, ARRAY(Text())), type_=ExactText()).column_valued()


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
    begun = exists(_one().where(any_.c.issued_at <= until, any_.c.verb != "read"))
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
    name = f"{audited.table.fullname!r} {key!r}"
    activity = audited.activities
    of_row = select(activity.c.verb, activity.c.issued_at, activity.c.id).where(
        activity.c.verb.in_(ROW_VERBS), activity.c.row_key == row_key
    )
    left = execute(audited.scope, session, select(limits(audited))).one()
    since = left.known_since
    if since is not None and when < since:
        raise HistoryError(
            f"Retention removed what was recorded of {audited.table.fullname!r} before {since.isoformat()}, and "
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
            f"Nothing is recorded of {name} since {since.isoformat()}, before which retention removed everything. If "
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
            f"The history of {name} begins at {first.issued_at.isoformat()} with its {first.verb}, and "
            f"{when.isoformat()} is before that. Ask for a later time."
        )
    last = execute(
        audited.scope,
        session,
        of_row.where(activity.c.issued_at <= when).order_by(activity.c.id.desc()).limit(1),
    ).one()
    bypass = execute(audited.scope, session, _last_bypass(audited, at)).scalar()
    said = [BYPASS_NOTE] if bypass is not None and bypass > last.id else []
    if lost is not None and lost > last.issued_at:
        said.append(LOSS_NOTE)
    return None, tuple(said)
