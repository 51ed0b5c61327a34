"""Writers that get into each other's way, and a ledger of what each of them did."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from audit_core import audit_context
from sqlalchemy import Connection, RootTransaction, delete, func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError

from tests.stress.app import RECORDED, YEARS, Account, Activity, Entry, Event, Hidden, Transaction, audit_log
from tests.stress.replay import rebuilt, stored

ACTORS = ("ann", "ben", "cara", None)
ISOLATION_LEVELS = ("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
ACCOUNTS = range(1, 9)

#: What may happen to a writer among others, by SQLSTATE.
UNIQUE, FOREIGN_KEY, DIVISION_BY_ZERO = "23505", "23503", "22012"
SERIALIZATION_FAILURE, DEADLOCK = "40001", "40P01"
TO_BE_EXPECTED = (UNIQUE, FOREIGN_KEY, DIVISION_BY_ZERO, SERIALIZATION_FAILURE, DEADLOCK)

Outcome = Literal["committed", "rolled back", "unknown"]
#: Table, whether rows were deleted, and the marker that these rows have in the trail.
Key = tuple[str, bool, str]


@dataclass
class Attempt:
    """One database transaction as its writer knows it."""

    name: str
    outcome: Outcome = "rolled back"
    #: How many rows each statement changed, and who ran it; without those that a savepoint took back.
    changes: dict[Key, tuple[int, str | None]] = field(default_factory=dict)


class Disconnected(Exception):  # noqa: N818 - an event, not a mistake
    """The server went away during an attempt, which stands in the ledger all the same."""


class Ledger:
    """All attempts of all writers."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: list[Attempt] = []
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self.errors: defaultdict[str, int] = defaultdict(int)
        self.commits = 0

    def call_after(self, commits: int, notify: Callable[[], None]) -> None:
        """Have a function called by the writer whose commit makes the number complete."""
        self._waiting.append((commits, notify))

    def add(self, attempt: Attempt) -> None:
        with self._lock:
            self._attempts.append(attempt)
            if attempt.outcome == "committed":
                self.commits += 1
                for commits, notify in self._waiting:
                    if commits == self.commits:
                        notify()

    def count_error(self, code: str) -> None:
        with self._lock:
            self.errors[code] += 1

    def check(self, connection: Connection) -> None:
        """Compare the trail with what the writers know, and the tables with the trail."""
        for table in RECORDED:
            assert rebuilt(connection, audit_log, table) == stored(connection, table)
        found = _found(connection)
        for attempt in self._attempts:
            recorded = {key: found.pop(key) for key in attempt.changes if key in found}
            if attempt.outcome == "rolled back" or (attempt.outcome == "unknown" and not recorded):
                assert recorded == {}, attempt
                continue
            assert {key: (each.rows, each.actor) for key, each in recorded.items()} == attempt.changes, attempt
            # All of it was one transaction, with one row for each actor, and no other has a part in it.
            assert len({each.native_transaction_id for each in recorded.values()}) <= 1
            rows = {each.actor: each.transaction_id for each in recorded.values()}
            assert {each.transaction_id for each in recorded.values()} == set(rows.values())
        assert found == {}
        _check_transactions(connection)
        _check_order(connection)


def transact(connection: Connection, name: str, ledger: Ledger) -> Outcome:
    """Run one transaction of random statements, and note what came of it.

    :raises Disconnected: if the server went away.
    """
    chance = random.Random(name)
    level = chance.choice(ISOLATION_LEVELS)
    connection = connection.execution_options(isolation_level=level, preserve_rowcount=True)
    attempt = Attempt(name)
    transaction = connection.begin()
    try:
        writer = Writer(connection, attempt, chance)
        for _ in range(chance.randint(1, 4)):
            writer.write_something()
        if chance.random() < 0.1:
            roll_back(transaction)
        else:
            attempt.outcome = "unknown"
            transaction.commit()
            attempt.outcome = "committed"
    except DBAPIError as error:
        ledger.count_error("disconnected" if error.connection_invalidated else sqlstate(error))
        if error.connection_invalidated:
            raise Disconnected(name) from error
        # What PostgreSQL refuses to commit is rolled back.
        attempt.outcome = "rolled back"
        roll_back(transaction)
        if sqlstate(error) not in TO_BE_EXPECTED:
            raise
    finally:
        ledger.add(attempt)
    return attempt.outcome


def roll_back(transaction: RootTransaction) -> None:
    try:
        transaction.rollback()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Disconnected from error
        raise


class Writer:
    """Runs statements in one transaction; each marks the rows that it writes."""

    def __init__(self, connection: Connection, attempt: Attempt, chance: random.Random) -> None:
        self.connection = connection
        self.attempt = attempt
        self.chance = chance
        self.statements = 0

    def write_something(self, depth: int = 0) -> None:
        """Perhaps in a savepoint, which may be rolled back, and take an error away."""
        how = self.chance.choice(("plain", "kept", "lost", "guarded"))
        write = self.chance.choice(
            (
                self.update_accounts,
                self.put_account,
                self.insert_entries,
                self.update_entries,
                self.delete_account,
                self.put_event,
                self.move_events,
                self.write_unseen,
                self.divide_by_zero,
            )
        )
        if how == "plain":
            write()
            return
        before = dict(self.attempt.changes)
        nested = self.connection.begin_nested()
        try:
            write()
            if depth < 2 and self.chance.random() < 0.3:
                self.write_something(depth + 1)
        except DBAPIError as error:
            # A deadlock or a serialization failure is the end of the whole transaction.
            if error.connection_invalidated or sqlstate(error) in (SERIALIZATION_FAILURE, DEADLOCK):
                raise
            nested.rollback()
            self.attempt.changes = before
            return
        if how == "lost":
            nested.rollback()
            self.attempt.changes = before
        else:
            nested.commit()

    def update_accounts(self) -> None:
        """Two of them, in any order: this is how deadlocks come about."""
        for id_ in self.chance.sample(ACCOUNTS, 2):
            statement = update(Account).where(Account.id == id_)
            self.run(Account, lambda marker, s=statement: s.values(balance=Account.balance + 1, marker=marker))

    def put_account(self) -> None:
        def statement(marker: str) -> Any:
            new = postgresql.insert(Account).values(id=self.chance.choice(ACCOUNTS), balance=0, marker=marker)
            return new.on_conflict_do_update(index_elements=["id"], set_={"marker": marker})

        self.run(Account, statement)

    def insert_entries(self) -> None:
        account = self.chance.choice(ACCOUNTS)
        numbers = self.chance.sample(range(1000), self.chance.randint(1, 4))
        self.run(
            Entry,
            lambda marker: insert(Entry).values(
                [{"account_id": account, "number": number, "amount": 1, "marker": marker} for number in numbers]
            ),
        )

    def update_entries(self) -> None:
        chosen = Entry.account_id == self.chance.choice(ACCOUNTS)
        step = self.chance.choice((0, 1000))
        self.run(Entry, lambda marker: update(Entry).where(chosen).values(number=Entry.number + step, marker=marker))

    def delete_account(self) -> None:
        """Mark first what will be deleted, since the trail of a delete has the marker of the last writer."""
        id_ = self.chance.choice(ACCOUNTS)
        locked = select(Account.id).where(Account.id == id_).with_for_update()
        if self.connection.scalar(locked) is None:
            return
        entries = self.run(Entry, lambda marker: update(Entry).where(Entry.account_id == id_).values(marker=marker))
        account = self.run(Account, lambda marker: update(Account).where(Account.id == id_).values(marker=marker))
        actor = self.chance.choice(ACTORS)
        with audit_context(actor_id=actor):
            self.connection.execute(delete(Account).where(Account.id == id_))
        for table, (marker, rows) in {"entries": entries, "accounts": account}.items():
            if rows:
                self.attempt.changes[table, True, marker] = (rows, actor)

    def put_event(self) -> None:
        id_, year = self.chance.randint(1, 40), self.chance.choice(YEARS)
        name = self.chance.choice(("events", f"events_{year}"))
        self.run(
            Event,
            lambda marker: text(
                f"INSERT INTO {name} (id, year, marker, born) VALUES (:id, :year, :marker, 0)"
            ).bindparams(id=id_, year=year, marker=marker),
        )

    def move_events(self) -> None:
        chosen = Event.id.in_(self.chance.sample(range(1, 41), 5))
        year = self.chance.choice(YEARS)
        self.run(Event, lambda marker: update(Event).where(chosen).values(year=year, marker=marker))

    def write_unseen(self) -> None:
        with audit_context(actor_id=self.chance.choice(ACTORS)), audit_log.disable(self.connection):
            self.connection.execute(insert(Hidden).values(marker=self.marker()))

    def divide_by_zero(self) -> None:
        self.update_accounts()
        self.connection.execute(text("SELECT 1 / 0"))

    def run(self, model: type[Any], statement: Callable[[str], Any]) -> tuple[str, int]:
        """Run a statement as somebody, and note how many rows it changed."""
        marker, actor = self.marker(), self.chance.choice(ACTORS)
        with audit_context(actor_id=actor):
            rows = self.connection.execute(statement(marker)).rowcount
        if rows:
            self.attempt.changes[model.__tablename__, False, marker] = (rows, actor)
        return marker, rows

    def marker(self) -> str:
        self.statements += 1
        return f"{self.attempt.name}/{self.statements}"


def sqlstate(error: DBAPIError) -> str:
    """Return the SQLSTATE, which drivers call by two names."""
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return str(code)


@dataclass
class _Found:
    rows: int
    actor: str | None
    transaction_id: int
    native_transaction_id: int


def _found(connection: Connection) -> dict[Key, _Found]:
    """Read from the trail what each statement changed; a statement has one actor or fails here."""
    deleted = Activity.verb == "delete"
    marker = func.coalesce(Activity.changed_data["marker"].astext, Activity.old_data["marker"].astext)  # type: ignore[index]
    query = (
        select(
            Activity.table_name,
            deleted,
            marker,
            func.count(),
            Transaction.actor_id,
            Transaction.id,
            Activity.native_transaction_id,
        )
        .join(Transaction, Transaction.id == Activity.transaction_id)
        .where(Activity.verb.in_(("insert", "update", "delete")))
        .group_by(
            Activity.table_name, deleted, marker, Transaction.actor_id, Transaction.id, Activity.native_transaction_id
        )
    )
    found: dict[Key, _Found] = {}
    for table, is_deleted, marker_, *rest in connection.execute(query):
        key = (table, is_deleted, marker_)
        assert key not in found, key
        found[key] = _Found(*rest)
    return found


def _check_transactions(connection: Connection) -> None:
    """Every row of ``transaction`` has a part in the trail, and no two say the same of one transaction."""
    activities = select(Activity.transaction_id).where(Activity.transaction_id == Transaction.id)
    assert connection.scalar(select(func.count()).where(~activities.exists())) == 0
    doubles = select(Transaction.native_transaction_id).group_by(
        Transaction.native_transaction_id, Transaction.actor_id
    )
    assert connection.execute(doubles.having(func.count() > 1)).all() == []


def _check_order(connection: Connection) -> None:
    """The history of a row has one order, by ``id`` and by time."""
    by_row = {"partition_by": (Activity.table_name, Activity.row_key), "order_by": Activity.id}
    earlier = func.lag(Activity.issued_at).over(**by_row).label("earlier")
    before = select(Activity.issued_at, earlier).where(Activity.row_key.is_not(None)).subquery()
    query = select(func.count()).select_from(before).where(before.c.issued_at < before.c.earlier)
    assert connection.scalar(query) == 0
