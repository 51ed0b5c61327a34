"""One table: PostgreSQL finds the keys that have to be looked at, and they are followed here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from ..reading.chain import differs, shown
from ..reading.exact import ExactText, pg
from ..reading.merging import ROW_VERBS, merged, whole_before
from ..reading.relations import pg_class
from .events import Event
from .facts import TableFacts
from .finding import Finding, Kind
from .record import Record

if TYPE_CHECKING:
    pass


# The number of keys that are followed at once.
_BATCH = 500
_FETCHED = 1000


@dataclass(frozen=True)
class TableCheck:
    """The check of one table."""

    connection: Connection
    facts: TableFacts

    def findings(self) -> Iterator[Finding]:
        """Yield what does not fit in this table."""
        if not self.facts.audited.key_columns:
            yield self._counted()
            return
        for name, function in self.facts.live.left_out.items():
            yield self._note(
                "not compared",
                (name,),
                f"{name!r} is not compared with the rows of today: its type has a cast to json by the function "
                f"{function}, which would run with your rights.",
            )
        unbegun = 0
        with self.connection.execute(self._suspects(), execution_options={"yield_per": _FETCHED}) as result:
            suspects: list[_Suspect] = []
            for row in result:
                suspect = _Suspect(*row)
                if not suspect.is_broken and not self.facts.coverage.is_whole:
                    unbegun += 1
                    continue
                suspects.append(suspect)
                if len(suspects) == _BATCH:
                    yield from self._followed(suspects)
                    suspects = []
            yield from self._followed(suspects)
        if unbegun:
            yield self._note(
                "no beginning",
                (),
                f"of {unbegun} rows the trail has no beginning: they may be older than it. op.snapshot_audited_table() "
                "records rows of which nothing is recorded.",
            )

    def _counted(self) -> Finding:
        activity = self.facts.audited.activities
        recorded: dict[str, int] = dict(
            self.connection.execute(
                select(activity.c.verb, func.count())
                .where(activity.c.verb.in_((*ROW_VERBS, "truncate")))
                .group_by(activity.c.verb)
                .order_by(activity.c.verb)
            ).all()
        )
        said = ", ".join(f"{count} {verb}" for verb, count in recorded.items()) or "nothing"
        rows = self.connection.scalar(self.facts.live.count())
        return self._note(
            "not compared",
            (),
            f"it has no primary key, so its rows cannot be told apart: recorded is {said}, and it has {rows} rows.",
        )

    def _note(self, kind: Kind, columns: tuple[str, ...], message: str) -> Finding:
        name = self.facts.audited.table.fullname
        return Finding(kind, name, None, columns, None, None, f"{name}: {message}")

    def _suspects(self) -> Select[Any]:
        """Select the keys whose activities do not simply follow each other, and lead to the row of today.

        Each once, with that row.
        """
        events = self._events()
        ending, perhaps = (
            [each.id for each in self.facts.truncates if each.ends_all is ends_all] for ends_all in (True, False)
        )

        def along(value: ColumnElement[Any]) -> ColumnElement[Any]:
            return func.lag(value).over(partition_by=events.c.key, order_by=events.c.id)

        linked = select(
            events.c.key,
            events.c.id,
            events.c.issued_at,
            events.c.before,
            events.c.after,
            along(events.c.id).label("previous_id"),
            along(events.c.after).label("previous"),
            func.lead(events.c.id).over(partition_by=events.c.key, order_by=events.c.id).label("next_id"),
        ).subquery()
        was_there = case((_epoch(linked.c.previous_id, ending) == _epoch(linked.c.id, ending), linked.c.previous))
        is_broken = and_(
            linked.c.previous_id.is_not(None),
            or_(
                _epoch(linked.c.previous_id, perhaps) != _epoch(linked.c.id, perhaps),
                differs(was_there, linked.c.before),
            ),
        )
        if self.facts.since is not None:
            is_broken = and_(is_broken, linked.c.issued_at >= self.facts.since)
        has_no_beginning = and_(linked.c.previous_id.is_(None), linked.c.before.is_not(None))

        def so_far(value: ColumnElement[bool]) -> ColumnElement[bool]:
            return func.bool_or(value).over(partition_by=linked.c.key, order_by=linked.c.id)

        summed = select(
            linked.c.key,
            linked.c.id,
            linked.c.after,
            linked.c.next_id,
            so_far(is_broken).label("is_broken"),
            so_far(has_no_beginning).label("has_no_beginning"),
        ).subquery()
        last = select(summed).where(summed.c.next_id.is_(None)).subquery()
        live = self.facts.live.rows()
        left = case((_epoch(last.c.id, ending) == literal(len(ending), Integer()), last.c.after))
        is_other = or_(
            _epoch(last.c.id, perhaps) != literal(len(perhaps), Integer()),
            differs(left, live.c.data),
        )
        is_unknown = last.c.id.is_(None)
        found = select(
            func.coalesce(last.c.key, live.c.key).label("key"),
            cast(live.c.data, Text).label("data"),
            and_(not_(is_unknown), or_(last.c.is_broken, is_other)).label("is_broken"),
            or_(is_unknown, last.c.has_no_beginning).label("has_no_beginning"),
        ).select_from(last.join(live, last.c.key == live.c.key, full=True))
        found_ = found.subquery()
        return select(found_.c.key, found_.c.data, found_.c.is_broken).where(
            or_(found_.c.is_broken, found_.c.has_no_beginning)
        )

    def _events(self, keys: list[str] | None = None) -> Subquery:
        """Select each activity under its key, and where it changes the key under both: what was there, and what is."""
        given, left = self.facts.audited.activities, self.facts.audited.activities
        model = self.facts.audited.scope.activity_cls
        is_gone_before = or_(given.c.verb.in_(("insert", "snapshot")), given.c.old_row_key.is_not(None))
        come = select(
            given.c.row_key.label("key"),
            *(given.c[name] for name in ("id", "verb", "relid", "native_transaction_id", "issued_at", "masked")),
            case((not_(is_gone_before), shown(given.c, whole_before(given.c, model)))).label("before"),
            case((given.c.verb != "delete", shown(given.c, merged(given.c, model)))).label("after"),
        ).where(given.c.row_key.is_not(None), given.c.verb.in_(ROW_VERBS))
        gone = select(
            left.c.old_row_key,
            *(left.c[name] for name in ("id", "verb", "relid", "native_transaction_id", "issued_at", "masked")),
            shown(left.c, left.c.old_data),
            cast(null(), JSONB()),
        ).where(left.c.old_row_key.is_not(None), left.c.verb == "update")
        if keys is not None:
            come = come.where(given.c.row_key.in_(_bound(keys)))
            gone = gone.where(left.c.old_row_key.in_(_bound(keys)))
        return union_all(come, gone).subquery()

    def _followed(self, suspects: list[_Suspect]) -> Iterator[Finding]:
        """Follow what happened under some keys, one by one."""
        if not suspects:
            return
        rows = {each.key: each.data for each in suspects}
        events = self._events(list(rows))
        query = select(
            events.c.key,
            events.c.id,
            events.c.verb,
            events.c.relid,
            exists(select(literal(1)).where(pg_class.c.oid == events.c.relid)),
            events.c.native_transaction_id,
            events.c.issued_at,
            cast(events.c.before, Text),
            cast(events.c.after, Text),
        ).order_by(events.c.key, events.c.id)
        with self.connection.execute(query, execution_options={"yield_per": _FETCHED}) as result:
            for key, group in groupby(result, key=lambda row: row[0]):
                yield from Record(self.facts, key).follow((Event(*row[1:]) for row in group), rows.pop(key))
        for key, data in rows.items():
            yield from Record(self.facts, key).follow((), data)


@dataclass(frozen=True)
class _Suspect:
    """A key that has to be looked at, and the row of today."""

    key: str
    data: str | None
    is_broken: bool


def _bound(keys: list[str]) -> Select[Any]:
    return select(pg.unnest(literal(keys, ARRAY(Text())), type_=ExactText()).column_valued())


def _epoch(id_: ColumnElement[int], truncates: list[int]) -> ColumnElement[int]:
    """Return between which TRUNCATEs an activity was."""
    if not truncates:
        return literal(0, Integer())
    return pg.width_bucket(id_, literal(truncates, ARRAY(BigInteger())), type_=Integer())
