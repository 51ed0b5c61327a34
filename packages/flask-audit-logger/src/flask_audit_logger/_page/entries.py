"""The log as people read it: one entry for each transaction, found in a bounded part of the trail."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import pg
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Select,
    exists,
    func,
    inspect,
    literal,
    select,
)
from sqlalchemy.orm import Session

from .days import ids_at
from .loading import LOADED_INTO_LOG, load_activities, transactions_of
from .matching import few_matching, known_matching, matching_of, without_reads
from .partitions import highest_id, is_among, lowest_id, of_each
from .repeated import REMEMBERED, large_among, listed_before

#: Entries of a page.
ENTRIES = 30
#: Activities that an entry opens to; the page of the transaction has the others.
DETAILS = 5
#: They are among so many ids before the last.
_NEAR = 1000
#: So many ids are looked at for one page, the next number where the one before has too few transactions.
_WINDOWS = (500, 3000, 20_000)
#: To read every value costs more than to read the rows.
_WINDOWS_OF_SEARCH = (500, 4000)
#: What was shown on a page before is looked for among so many ids.
_MARGIN = 500
#: A page is filled up so many times after what was shown before has been left out of it.
_FILLED = 3
#: The changes of a transaction are counted up to the first number, and those of two large ones up to the second.
_COUNTED, _COUNTED_OF_FEW = 1000, 10_000
# An id is taken when a row is written, and the time when its statement began: they may be out of step by as long as
# a statement runs.
_OUT_OF_STEP = dt.timedelta(hours=1)


@dataclass(frozen=True)
class Group:
    """How many rows of a table a transaction treated alike."""

    schema: str
    table_name: str
    verb: str
    count: int

    def one_less(self) -> Group:
        return replace(self, count=self.count - 1)


@dataclass(frozen=True)
class Entry:
    """A transaction, as far as it is asked for."""

    transaction_id: int
    #: The last of its activities.
    last_id: int
    #: None if the trail has lost it.
    transaction: Any
    groups: Sequence[Group]
    #: Whether there are no more changes than the groups count.
    is_counted: bool
    #: The last of its activities, in the order in which they happened; long values are not loaded.
    activities: Sequence[Any]

    @property
    def count(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def issued_at(self) -> dt.datetime | None:
        if self.transaction is not None:
            return self.transaction.issued_at  # type: ignore[no-any-return]
        return self.activities[-1].issued_at if self.activities else None


@dataclass(frozen=True)
class EntryPage:
    """Entries, newest first, and where the next page begins."""

    entries: Sequence[Entry] = ()
    #: The id after which the next page begins; None at the end of the trail.
    after: int | None = None
    #: The search was cut off, and may find more further back.
    is_partial: bool = False
    #: The next page begins before a large transaction; after this id is what others did meanwhile.
    meanwhile: int | None = None
    #: Large transactions that are on this page or were on one before, for the link to the next.
    listed: Sequence[int] = ()


@dataclass
class _Found:
    """What a part of the trail has of one transaction."""

    transaction_id: int
    last_id: int
    ids: list[int] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    is_counted: bool = True


def log_entries(
    log: AuditLog, session: Session, filters: dict[str, Any], after: int | None, listed: Sequence[int] = ()
) -> EntryPage:
    """Load a page of the log.

    :param filters: as for ``activities()``, and ``text``; reads are left out unless the verb asks for them.
    :param listed: large transactions of the pages before.
    """
    asked = without_reads(filters)
    few = _few(log, session, asked, after)
    if few is not None:
        found = few
        page = EntryPage(after=found[ENTRIES - 1].last_id if len(found) > ENTRIES else None)
    else:
        found, page, floor = _search(log, session, asked, after, listed)
        if found and filters:
            _mark_continued(log, session, found[:ENTRIES], floor)
        if page.after is not None:
            large = large_among(log, session, [each.transaction_id for each in found[:ENTRIES]])
            page = replace(page, listed=[*listed, *large][-REMEMBERED:])
    found = found[:ENTRIES]
    if not filters:
        _count(log, session, found)
    return replace(page, entries=_entries(log, session, found))


def _few(log: AuditLog, session: Session, filters: dict[str, Any], below: int | None) -> list[_Found] | None:
    """Find what is asked for, and one transaction more than a page has, if an index leads to few activities."""
    known = known_matching(log, session, filters)
    if known is not None:
        return _grouped(known, ENTRIES + 1, below)
    few = None if "text" in filters and "transaction" not in filters else few_matching(log, session, filters)
    return None if few is None else _transactions(log, session, few.limit(_COUNTED_OF_FEW + 1), (), ENTRIES + 1, below)


def count_changes(
    log: AuditLog, session: Session, ids: Sequence[int], limit: int
) -> dict[int, tuple[list[Group], bool]]:
    """Count what transactions changed, by table and verb, and whether that is all: not more rows are looked at."""
    columns = inspect(log.activity_cls).local_table.c
    changes = select(columns.transaction_id, columns.schema, columns.table_name, columns.verb)
    rows = of_each(log, session, changes, ids, limit + 1).subquery("changes")
    query = select(rows, func.count().label("count")).group_by(*rows.c)
    counted: dict[int, list[Group]] = {}
    for id_, schema, table_name, verb, number in session.execute(query):
        counted.setdefault(id_, []).append(Group(schema, table_name, verb, number))
    found = {}
    for id_, groups in counted.items():
        total = sum(group.count for group in groups)
        if total > limit:
            # One too many was looked at, to know that there are more.
            groups = [groups[0].one_less(), *groups[1:]]
        found[id_] = ([group for group in groups if group.count], total <= limit)
    return found


def _search(
    log: AuditLog, session: Session, filters: dict[str, Any], after: int | None, before: Sequence[int]
) -> tuple[list[_Found], EntryPage, int]:
    """Look at one part of the trail after the other, each larger, until there are enough transactions."""
    activity = inspect(log.activity_cls).local_table
    matching = matching_of(log, filters)
    lowest, end = _bounds(log, session, filters)
    top = highest_id(log, session, min((each for each in (end, after) if each is not None), default=None))
    if top is None or lowest is None or top < lowest:
        return [], EntryPage(), 0
    listed = set(before)
    if after is not None:
        above = matching.where(activity.c.id >= after, activity.c.id < after + _MARGIN).subquery()
        listed.update(session.scalars(select(above.c.transaction_id).distinct()))
    found: list[_Found] = []
    floor = lowest - 1
    for size in _WINDOWS_OF_SEARCH if "text" in filters else _WINDOWS:
        floor = max(top - size, lowest - 1)
        part = matching.where(activity.c.id <= top, activity.c.id > floor)
        for _ in range(_FILLED):
            found = _transactions(log, session, part, listed, ENTRIES + 1)
            last_id = found[ENTRIES - 1].last_id if len(found) > ENTRIES else None
            numbers = [each.transaction_id for each in found]
            again = set() if after is None else listed_before(log, session, matching, numbers, after)
            if not again:
                break
            listed |= again
            new = (each for each in found if each.transaction_id not in again)
            found = [each for each in new if last_id is None or each.last_id >= last_id]
        if last_id is not None:
            return found, EntryPage(after=last_id), floor
        if floor < lowest:
            return found, EntryPage(), floor
    begun = _beginning(log, session, floor)
    if begun is not None and begun < floor - _WINDOWS[-1]:
        return found, EntryPage(after=begun, is_partial=True, meanwhile=floor + 1), floor
    return found, EntryPage(after=floor + 1, is_partial=True), floor


def _bounds(log: AuditLog, session: Session, filters: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return the first id that may have been recorded in the time that is asked for, and the end."""
    since, until = filters.get("since"), filters.get("until")
    (first, _), (_, end) = ids_at(
        log,
        session,
        [None if since is None else since - _OUT_OF_STEP, None if until is None else until + _OUT_OF_STEP],
    )
    if first is None:
        first = lowest_id(log, session)
    return first, end


def _beginning(log: AuditLog, session: Session, floor: int) -> int | None:
    """Return the first row of the transaction that the search was cut off in: the index has it first."""
    activity = inspect(log.activity_cls).local_table
    lowest = select(activity.c.transaction_id).where(activity.c.id > floor).order_by(activity.c.id).limit(1)
    number = session.scalar(lowest)
    if number is None:
        return None
    own = select(activity.c.id).where(activity.c.transaction_id == number, *is_among(log, session, [number]))
    return session.scalar(own.limit(1))


def _transactions(
    log: AuditLog,
    session: Session,
    matching: Select[Any],
    listed: Collection[int],
    limit: int,
    below: int | None = None,
) -> list[_Found]:
    """Group what matches by transactions, those with the last activities first."""
    if listed:
        matching = matching.where(inspect(log.activity_cls).local_table.c.transaction_id.not_in(sorted(listed)))
    part = matching.cte("part")
    last_id = func.max(part.c.id)
    chosen = select(part.c.transaction_id, last_id.label("last_id")).group_by(part.c.transaction_id)
    if below is not None:
        chosen = chosen.having(last_id < below)
    newest = chosen.order_by(last_id.desc()).limit(limit).cte("newest")
    # To put all ids of a large transaction in order would take longer than all the rest.
    ids = pg.array_agg(part.c.id, type_=ARRAY(BigInteger())).filter(part.c.id > newest.c.last_id - _NEAR)
    query = (
        select(
            newest.c.transaction_id,
            newest.c.last_id,
            part.c.schema,
            part.c.table_name,
            part.c.verb,
            func.count(),
            ids,
        )
        .join_from(newest, part, part.c.transaction_id == newest.c.transaction_id)
        .group_by(newest.c.transaction_id, newest.c.last_id, part.c.schema, part.c.table_name, part.c.verb)
        .order_by(newest.c.last_id.desc())
    )
    found: dict[int, _Found] = {}
    for number, last, schema, table_name, verb, count, some in session.execute(query):
        one = found.setdefault(number, _Found(number, last))
        one.groups.append(Group(schema, table_name, verb, count))
        one.ids = sorted([*one.ids, *(some or ())], reverse=True)[:DETAILS]
    return list(found.values())


def _grouped(rows: Sequence[Any], limit: int, below: int | None) -> list[_Found]:
    """Group activities that are at hand in the same way."""
    own: dict[int, list[Any]] = {}
    for row in sorted(rows, key=lambda each: each.id, reverse=True):
        own.setdefault(row.transaction_id, []).append(row)
    newest = [(number, some) for number, some in own.items() if below is None or some[0].id < below]
    found = []
    for number, some in newest[:limit]:
        last_id = some[0].id
        counts = Counter((each.schema, each.table_name, each.verb) for each in some)
        ids = [each.id for each in some[:DETAILS] if each.id > last_id - _NEAR]
        found.append(_Found(number, last_id, ids, [Group(*kind, count) for kind, count in counts.items()]))
    return found


def _count(log: AuditLog, session: Session, found: list[_Found]) -> None:
    """Replace what a part of the trail has of transactions by what they have in all, up to a limit."""
    numbers = [each.transaction_id for each in found]
    counted = count_changes(log, session, numbers, _COUNTED) if numbers else {}
    large = [number for number, (_, is_all) in counted.items() if not is_all]
    if 0 < len(large) <= 2:
        counted |= count_changes(log, session, large, _COUNTED_OF_FEW)
    for each in found:
        groups, each.is_counted = counted.get(each.transaction_id, (each.groups, True))
        each.groups = [group for group in groups if group.verb != "read"] or each.groups


def _mark_continued(log: AuditLog, session: Session, found: list[_Found], floor: int) -> None:
    """Mark those that have more below the part that was looked at."""
    activity = inspect(log.activity_cls).local_table
    numbers = [each.transaction_id for each in found]
    asked = pg.unnest(literal(numbers, ARRAY(BigInteger()))).table_valued("id", name="asked").render_derived()
    own = select(literal(1)).where(activity.c.transaction_id == asked.c.id, *is_among(log, session, numbers))
    below = exists(own.where(activity.c.id <= floor))
    continued = set(session.scalars(select(asked.c.id).where(below.correlate(asked))))
    for each in found:
        each.is_counted = each.transaction_id not in continued


def _entries(log: AuditLog, session: Session, found: list[_Found]) -> list[Entry]:
    transactions = transactions_of(log, session, [each.transaction_id for each in found])
    wanted = [id_ for each in found for id_ in each.ids]
    activities = {each.id: each for each in load_activities(log, session, wanted, LOADED_INTO_LOG)}
    return [
        Entry(
            each.transaction_id,
            each.last_id,
            transactions.get(each.transaction_id),
            sorted(each.groups, key=lambda group: (group.verb, -group.count, group.table_name)),
            each.is_counted,
            [activities[id_] for id_ in sorted(each.ids) if id_ in activities],
        )
        for each in found
    ]
