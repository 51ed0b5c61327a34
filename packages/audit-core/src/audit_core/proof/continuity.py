"""Every activity of a record begins where the one before ended, and the last one is the row of today.

What was changed without the triggers breaks this chain, and so does whoever alters or deletes activities. PostgreSQL
looks for the keys whose chain is not as simple as that, in one pass over a table's activities; these are then read as
a whole and followed here. Memory holds some hundred keys at a time, and of a key its row.
"""

from __future__ import annotations

import datetime as dt
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Subquery,
    Table,
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

from ..audited import audited_tables
from ..connections import Target, connection_of, unwrapped
from ..errors import HistoryError
from ..reading import find_table
from ..reading.audited_table import ROW_VERBS, AuditedTable, merged
from ..reading.chain import differs, shown
from ..reading.exact import ExactText, exact_text, pg
from ..reading.instants import instant
from ..reading.relations import pg_class
from ..settings import recorded_settings
from .coverage import Coverage
from .live import LiveTable

if TYPE_CHECKING:
    from ..scope import Scope

Kind: TypeAlias = Literal["break", "changed", "appeared", "vanished", "unrecorded", "no beginning", "not compared"]

# So many keys are followed at a time.
_BATCH = 500
_FETCHED = 1000

_ISOLATED = ("repeatable read", "serializable")


@dataclass(frozen=True)
class Finding:
    """Something that the trail and the tables do not agree about, or that could not be told."""

    #: ``break``: an activity does not begin where the one before it ended. ``changed``, ``appeared``, ``vanished``:
    #: the row of today is not what the trail left. ``unrecorded``: one of these, and the trail says that something was
    #: not recorded. ``no beginning``: rows may be older than the trail. ``not compared``: what could not be told.
    kind: Kind
    #: The table, with its schema where that is declared.
    table: str
    #: The record, as ``activity.row_key`` has it; None if it is about the table.
    row_key: str | None
    #: The columns that differ.
    columns: tuple[str, ...]
    #: The last activity that fits; None if there is none.
    before: int | None
    #: The activity that does not begin there; None for the row of today.
    after: int | None
    #: What is wrong, in one sentence.
    message: str

    @property
    def is_failure(self) -> bool:
        """Whether something happened that the trail does not tell."""
        return self.kind in ("break", "changed", "appeared", "vanished")

    def __str__(self) -> str:
        return self.message


def verify(
    scope: Scope, target: Target, tables: Iterable[Any] | None = None, since: dt.datetime | None = None
) -> Iterator[Finding]:
    """Yield what does not fit; see :meth:`audit_core.AuditLog.verify`."""
    if since is not None:
        instant(since, "since")
    return _findings(scope, target, _chosen(scope, tables), since)


def _findings(scope: Scope, target: Target, tables: list[Table], since: dt.datetime | None) -> Iterator[Finding]:
    with _snapshot(scope, target, tables) as (connection, found), recorded_settings(connection):
        for live in found:
            yield from _Check.prepare(connection, live, since).findings()


def _chosen(scope: Scope, tables: Iterable[Any] | None) -> list[Table]:
    if tables is None:
        return [each for each, _ in audited_tables(scope.metadata)]
    if isinstance(tables, (str, Table)) or not isinstance(tables, Iterable):
        raise HistoryError(f"tables is {tables!r}; make it a list of models, Tables or names.")
    found = []
    for each in tables:
        wanted = find_table(scope, each) if isinstance(each, str) else getattr(each, "__table__", each)
        if not isinstance(wanted, Table):
            raise HistoryError(f"{each!r} is neither a model nor a Table nor the name of a table.")
        if wanted.metadata is not scope.metadata:
            raise HistoryError(f"Table {wanted.fullname!r} is of another MetaData than this trail. Ask its AuditLog.")
        found.append(find_table(scope, wanted.fullname))
    return found


@contextmanager
def _snapshot(scope: Scope, target: Target, tables: list[Table]) -> Iterator[tuple[Connection, list[LiveTable]]]:
    """Read everything as of one instant: what is written meanwhile is in none of it, or in all.

    A TRUNCATE is seen by every snapshot at once, so the tables are locked before there is one.
    """
    owner: Any = unwrapped(target)
    is_own = not getattr(owner, "in_transaction", bool)()
    connection = connection_of(target, scope.bind_arguments(), HistoryError)
    if bool(getattr(connection.connection.dbapi_connection, "autocommit", False)):
        raise HistoryError(
            "The connection commits each statement, so that a writer could come between two of them. Give one with "
            "execution_options(isolation_level='REPEATABLE READ')."
        )
    try:
        name = exact_text("transaction_isolation")
        isolation = str(connection.scalar(select(pg.current_setting(name, type_=ExactText()))))
        if not is_own and isolation not in _ISOLATED:
            raise HistoryError(
                f"The connection is in a transaction that is {isolation.upper()}, so that a writer could come between "
                "two statements. Call verify() outside of a transaction, or in one with "
                "isolation_level='REPEATABLE READ'."
            )
        found = [LiveTable.find(connection, scope, each) for each in tables]
        if is_own:
            owner.rollback()
            connection = connection_of(target, scope.bind_arguments(), HistoryError)
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        for live in found:
            connection.exec_driver_sql(f"LOCK TABLE {live.name} IN ACCESS SHARE MODE")
        for live in found:
            live.refuse_later_truncate(connection)
        yield connection, found
    finally:
        if is_own:
            owner.rollback()


@dataclass(frozen=True)
class _Check:
    """The check of one table."""

    connection: Connection
    audited: AuditedTable
    live: LiveTable
    coverage: Coverage
    truncates: tuple[_Truncate, ...]
    json_columns: frozenset[str]
    since: dt.datetime | None

    @classmethod
    def prepare(cls, connection: Connection, live: LiveTable, since: dt.datetime | None) -> _Check:
        audited = live.audited
        return cls(
            connection,
            audited,
            live,
            Coverage.read(connection, audited),
            tuple(_truncates(connection, audited, live)),
            frozenset(each.name for each in live.columns if each.is_json),
            since,
        )

    def findings(self) -> Iterator[Finding]:
        """Yield what does not fit in this table."""
        if not self.audited.key_columns:
            yield self._counted()
            return
        for name, function in self.live.left_out.items():
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
                if not suspect.is_broken and not self.coverage.is_whole:
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

    def truncates_between(self, after: int, until: int | None) -> tuple[_Truncate, ...]:
        """Return the TRUNCATEs after an activity, up to another one."""
        place = bisect_right(self._truncate_ids, after)
        end = len(self.truncates) if until is None else bisect_right(self._truncate_ids, until)
        return self.truncates[place:end]

    @cached_property
    def _truncate_ids(self) -> list[int]:
        return [each.id for each in self.truncates]

    def differing(self, one: str, other: str) -> tuple[str, ...]:
        """Return the columns in which two states of a row differ, of those that both have."""
        left, right = _parsed(one), _parsed(other)
        if not (isinstance(left, dict) and isinstance(right, dict)):
            # Nested deeper than Python can read.
            return () if one == other else ("?",)
        return tuple(
            name
            for name in sorted(left.keys() & right.keys())
            if not _is_same(left[name], right[name], name in self.json_columns)
        )

    def _counted(self) -> Finding:
        activity = self.audited.activities
        recorded: dict[str, int] = dict(
            self.connection.execute(
                select(activity.c.verb, func.count())
                .where(activity.c.verb.in_((*ROW_VERBS, "truncate")))
                .group_by(activity.c.verb)
                .order_by(activity.c.verb)
            ).all()
        )
        said = ", ".join(f"{count} {verb}" for verb, count in recorded.items()) or "nothing"
        rows = self.connection.scalar(self.live.count())
        return self._note(
            "not compared",
            (),
            f"it has no primary key, so its rows cannot be told apart: recorded is {said}, and it has {rows} rows.",
        )

    def _note(self, kind: Kind, columns: tuple[str, ...], message: str) -> Finding:
        name = self.audited.table.fullname
        return Finding(kind, name, None, columns, None, None, f"{name}: {message}")

    def _suspects(self) -> Select[Any]:
        """Select the keys whose activities do not simply follow each other, and lead to the row of today.

        Each once, with that row.
        """
        events = self._events()
        ending, perhaps = (
            [each.id for each in self.truncates if each.ends_all is ends_all] for ends_all in (True, False)
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
        if self.since is not None:
            is_broken = and_(is_broken, linked.c.issued_at >= self.since)
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
        live = self.live.rows()
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
        given, left = self.audited.activities, self.audited.activities
        is_gone_before = or_(given.c.verb.in_(("insert", "snapshot")), given.c.old_row_key.is_not(None))
        come = select(
            given.c.row_key.label("key"),
            *(given.c[name] for name in ("id", "verb", "relid", "native_transaction_id", "issued_at", "masked")),
            case((not_(is_gone_before), shown(given.c, given.c.old_data))).label("before"),
            case((given.c.verb != "delete", shown(given.c, merged(given.c)))).label("after"),
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
                yield from _Chain(self, key).follow((_Event(*row[1:]) for row in group), rows.pop(key))
        for key, data in rows.items():
            yield from _Chain(self, key).follow((), data)


@dataclass(frozen=True)
class _Suspect:
    """A key that has to be looked at, and the row of today."""

    key: str
    data: str | None
    is_broken: bool


@dataclass(frozen=True)
class _Truncate:
    """A TRUNCATE of the table, or of a partition."""

    id: int
    relid: int
    #: Whether there is a table of this number today.
    is_there: bool
    #: Whether it took all rows, whatever table they were in.
    ends_all: bool

    def ends(self, event: _Event, is_partitioned: bool) -> bool:
        """Return whether it took the row that an activity left, as ``as_of()`` does."""
        if self.ends_all or self.relid == event.relid:
            return True
        return not (is_partitioned or self.is_there or event.is_there)


def _truncates(connection: Connection, audited: AuditedTable, live: LiveTable) -> Iterator[_Truncate]:
    activity = audited.activities
    query = (
        select(activity.c.id, activity.c.relid, pg_class.c.relispartition)
        .select_from(activity.outerjoin(pg_class, pg_class.c.oid == activity.c.relid))
        .where(activity.c.row_key.is_(None), activity.c.verb == "truncate")
        .order_by(activity.c.id)
    )
    for id_, relid, is_partition in connection.execute(query):
        yield _Truncate(id_, relid, is_partition is not None, not live.is_partitioned and is_partition is False)


@dataclass(frozen=True)
class _Event:
    """What an activity says of one key: what was there before, and what is after it."""

    id: int
    verb: str
    relid: int
    is_there: bool
    native_transaction_id: int
    issued_at: dt.datetime
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"activity {self.id} ({self.verb})"


class _Chain:
    """The activities of one key, followed from the first one to the row of today.

    Within a database transaction, several rows may have one key, where its constraint is deferred.
    """

    def __init__(self, check: _Check, key: str) -> None:
        self._check = check
        self._key = key
        # What activities left under the key, and the last one of all.
        self._rows: list[tuple[_Event, str]] = []
        self._last: _Event | None = None

    def follow(self, events: Iterable[_Event], data: str | None) -> Iterator[Finding]:
        """Yield where the chain is broken, up to the row of today."""
        for event in events:
            self._truncate(event.id)
            if self._last is None:
                yield from self._begin(event)
            else:
                if event.native_transaction_id != self._last.native_transaction_id:
                    yield from self._settle()
                yield from self._step(self._last, event)
            if event.after is not None:
                self._rows.append((event, event.after))
            self._last = event
        self._truncate(None)
        yield from self._settle()
        yield from self._end(data)

    def _truncate(self, until: int | None) -> None:
        """Take the rows away that a TRUNCATE took."""
        check = self._check
        self._rows = [
            (event, row)
            for event, row in self._rows
            if not any(each.ends(event, check.live.is_partitioned) for each in check.truncates_between(event.id, until))
        ]

    def _begin(self, event: _Event) -> Iterator[Finding]:
        if event.before is not None and self._check.coverage.is_whole:
            yield from self._finding("break", (), None, event, f"{event} is of a row that no activity had put there")

    def _step(self, last: _Event, event: _Event) -> Iterator[Finding]:
        """Compare what an activity found with what was there."""
        before = event.after if event.verb == "snapshot" else event.before
        if before is None:
            return
        differing: tuple[str, ...] | None = None
        for place in reversed(range(len(self._rows))):
            found = self._check.differing(self._rows[place][1], before)
            if found == ():
                del self._rows[place]
                return
            differing = differing or found
        if differing is None:
            verb = "finds" if event.verb == "snapshot" else "begins with"
            yield from self._finding("break", (), last, event, f"{event} {verb} a row where {last} left none")
            return
        source, _ = self._rows.pop()
        message = f"{event} begins with other values of {_listed(differing)} than {source} left"
        yield from self._finding("break", differing, source, event, message)

    def _settle(self) -> Iterator[Finding]:
        """At the end of a transaction, one row has the key."""
        while len(self._rows) > 1:
            (before, _), (after, _) = self._rows[:2]
            del self._rows[0]
            yield from self._finding("break", (), before, after, f"{after} puts a row where that of {before} still was")

    def _end(self, data: str | None) -> Iterator[Finding]:
        last = self._last
        if not self._rows:
            if data is None:
                return
            if last is not None:
                yield from self._finding("appeared", (), last, None, f"the row is there, and {last} left none")
            elif self._check.coverage.is_whole:
                yield from self._finding("appeared", (), None, None, "the row is there, and no activity put it there")
            return
        ((source, row),) = self._rows
        if data is None:
            yield from self._finding("vanished", (), source, None, f"the row is gone, and {source} left it there")
        elif differing := self._check.differing(row, data):
            message = f"the row has other values of {_listed(differing)} than {source} left"
            yield from self._finding("changed", differing, source, None, message)

    def _finding(
        self, kind: Kind, columns: tuple[str, ...], before: _Event | None, after: _Event | None, message: str
    ) -> Iterator[Finding]:
        check = self._check
        if after is not None and check.since is not None and after.issued_at < check.since:
            return
        name = check.audited.table.fullname
        if explanation := check.coverage.explanation(before, after):
            kind, message = "unrecorded", f"{message}; {explanation}"
        else:
            message += check.coverage.gap(before, after)
        ids = (None if before is None else before.id, None if after is None else after.id)
        yield Finding(kind, name, self._key, columns, *ids, f"{name} {self._key}: {message}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _bound(keys: list[str]) -> Select[Any]:
    return select(pg.unnest(literal(keys, ARRAY(Text())), type_=ExactText()).column_valued())


def _epoch(id_: ColumnElement[int], truncates: list[int]) -> ColumnElement[int]:
    """Return between which TRUNCATEs an activity was."""
    if not truncates:
        return literal(0, Integer())
    return pg.width_bucket(id_, literal(truncates, ARRAY(BigInteger())), type_=Integer())


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except RecursionError:
        return text


def _is_same(one: Any, other: Any, is_json: bool) -> bool:
    """Compare two values of a column: true is not 1. A column that had another type since has the same text."""
    if type(one) is type(other):
        if isinstance(one, dict):
            return one.keys() == other.keys() and all(_is_same(value, other[name], True) for name, value in one.items())
        if isinstance(one, list):
            return len(one) == len(other) and all(_is_same(*pair, True) for pair in zip(one, other, strict=True))
        return bool(one == other)
    if is_json or None in (one, other) or isinstance(one, (dict, list)) or isinstance(other, (dict, list)):
        return False
    return str(one).lower() == str(other).lower()
