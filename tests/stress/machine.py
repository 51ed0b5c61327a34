"""A state machine that writes whatever comes to its mind, and knows what the trail has to say about it."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
from audit_core import audit_context
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    NestedTransaction,
    Text,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from tests.stress.app import (
    RECORDED,
    SEVERAL_TIMES,
    YEARS,
    Account,
    Activity,
    Base,
    Entry,
    Event,
    Hidden,
    Note,
    Slot,
    Transaction,
    audit_log,
)
from tests.stress.replay import Row, rebuilt, stored

AUDITED = (*RECORDED, *SEVERAL_TIMES)

Tables = dict[str, dict[int, Row]]


@dataclass(frozen=True)
class Change:
    """What has to be in the trail; the data as JSON text."""

    verb: str
    old: str
    changed: str
    actor: str | None


@dataclass(frozen=True)
class How:
    """Who runs a statement, and what is around it."""

    actor: str | None
    #: Without a savepoint, an error takes the whole transaction.
    savepoint: Literal["none", "kept", "lost"]
    #: Settings that change how values look.
    settings: tuple[tuple[str, str], ...] = ()


#: The changes of one statement, by table.
Statement = dict[str, list[Change]]

some_ids = st.lists(st.integers(1, 8), min_size=1, max_size=4, unique=True)
years = st.sampled_from(YEARS)
names = st.sampled_from(["a", "b", "ä", '"', "'", "1", '["x", 1]', " "])
some_names = st.lists(names, min_size=1, max_size=4, unique=True)
contents = st.sampled_from([None, 1, 1.5, "text", [], {"deep": [{"a": None}]}, "\u2028"])
looks = {
    "TimeZone": ["UTC", "Asia/Kathmandu", "America/New_York"],
    "DateStyle": ["ISO, YMD", "SQL, DMY", "German"],
    "IntervalStyle": ["postgres", "sql_standard", "iso_8601"],
    "extra_float_digits": ["1", "0", "-15"],
    "bytea_output": ["hex", "escape"],
}
hows = st.builds(
    How,
    actor=st.sampled_from(["ann", "ben", None]),
    savepoint=st.sampled_from(["none", "kept", "lost", "none"]),
    settings=st.just(()) | st.tuples(*(st.tuples(st.just(name), st.sampled_from(looks[name])) for name in looks)),
)


class Machine(RuleBasedStateMachine):
    """One connection with all that a transaction can be: savepoints, errors, actors that take turns."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.connection: Connection = engine.connect()
        self.numbers = itertools.count(1)
        #: The statements of the transaction, in a list for each savepoint that is open.
        self.statements: list[list[Statement]] = [[]]
        self.savepoints: list[NestedTransaction] = []
        self.connection.execute(text(f"TRUNCATE {', '.join(Base.metadata.tables)}"))
        self.connection.commit()
        self.note_the_last()
        self.start = self.last
        self.tables = self.read()
        self.connection.rollback()

    def teardown(self) -> None:
        try:
            self.commit()
        finally:
            self.connection.close()

    # What becomes of it.

    @precondition(lambda self: len(self.savepoints) < 3)
    @rule()
    def begin_savepoint(self) -> None:
        self.savepoints.append(self.connection.begin_nested())
        self.statements.append([])

    @precondition(lambda self: self.savepoints)
    @rule()
    def release_savepoint(self) -> None:
        self.savepoints.pop().commit()
        kept = self.statements.pop()
        self.statements[-1] += kept

    @precondition(lambda self: self.savepoints)
    @rule()
    def roll_back_to_savepoint(self) -> None:
        self.savepoints.pop().rollback()
        self.statements.pop()
        self.tables = self.read()

    @rule()
    def roll_back(self) -> None:
        self.connection.rollback()
        self.savepoints.clear()
        self.statements = [[]]
        self.tables = self.read()
        self.connection.rollback()

    @rule()
    def commit(self) -> None:
        while self.savepoints:
            self.release_savepoint()
        self.connection.commit()
        self.check(self.statements.pop())
        self.statements = [[]]
        self.connection.rollback()

    # What is written.

    @initialize(ids=some_ids, stores=st.tuples(*(st.sampled_from(["rows", "changes"]) for _ in AUDITED)))
    def begin_with_accounts(self, ids: list[int], stores: tuple[str, ...]) -> None:
        for table, store in zip(AUDITED, stores, strict=True):
            table.info["versioned"] = {**table.info["versioned"], "store": store}
        audit_log.install(self.connection)
        self.connection.commit()
        self.insert_accounts(ids, "core", How("ann", "none"))

    @rule(ids=some_ids, way=st.sampled_from(["core", "many", "returning", "text", "orm", "copy"]), how=hows)
    def insert_accounts(self, ids: list[int], way: str, how: How) -> None:
        marker = self.marker()
        rows = [{"id": id_, "balance": id_ * 10, "marker": marker, "born": next(self.numbers)} for id_ in ids]
        if way == "core":
            self.execute(how, insert(Account).values(rows))
        elif way == "many":
            self.execute(how, insert(Account), rows)
        elif way == "returning":
            self.execute(how, insert(Account).returning(Account.balance), rows)
        elif way == "text":
            statement = "INSERT INTO accounts (id, balance, marker, born) VALUES (:id, :balance, :marker, :born)"
            self.execute(how, text(statement), rows)
        elif way == "copy":
            self.write(how, lambda: self.copy(rows))
        else:
            self.flush(how, lambda session: session.add_all([Account(**row) for row in rows]))

    @rule(account=st.integers(1, 8), numbers=some_ids, amount=st.decimals(-9, 9, places=2) | st.none(), how=hows)
    def insert_entries(self, account: int, numbers: list[int], amount: Any, how: How) -> None:
        marker = self.marker()
        rows = [
            {"account_id": account, "number": number, "amount": amount, "marker": marker, "born": next(self.numbers)}
            for number in numbers
        ]
        self.execute(how, insert(Entry).values(rows))

    @rule(new=st.lists(st.tuples(names, contents), min_size=1, max_size=3, unique_by=lambda each: each[0]), how=hows)
    def put_notes(self, new: list[tuple[str, Any]], how: How) -> None:
        """Some are inserted and some are updated, by one statement."""
        marker = self.marker()
        statement = postgresql.insert(Note).values(
            [{"name": name, "content": it, "marker": marker, "born": next(self.numbers)} for name, it in new]
        )
        changes = {"content": statement.excluded.content, "marker": marker}
        self.execute(how, statement.on_conflict_do_update(index_elements=["name"], set_=changes))

    @rule(names=some_names, how=hows)
    def merge_notes(self, names: list[str], how: How) -> None:
        """Some are inserted, some updated and some deleted, by one statement."""
        statement = text(
            "MERGE INTO notes AS n USING unnest(CAST(:names AS text[])) WITH ORDINALITY AS s (name, place) "
            "ON n.name = s.name "
            "WHEN MATCHED AND n.content IS NULL THEN DELETE "
            "WHEN MATCHED THEN UPDATE SET marker = :marker, content = NULL "
            "WHEN NOT MATCHED THEN INSERT (name, content, marker, born) "
            "VALUES (s.name, to_jsonb(s.place), :marker, :born + s.place)"
        )
        born = next(self.numbers)
        self.numbers = itertools.count(born + len(names) + 1)
        self.execute(how, statement, {"names": names, "marker": self.marker(), "born": born})

    @rule(positions=some_ids, how=hows)
    def insert_slots(self, positions: list[int], how: How) -> None:
        marker = self.marker()
        rows = [{"position": position, "marker": marker, "born": next(self.numbers)} for position in positions]
        self.execute(how, insert(Slot).values(rows))

    @rule(sum_=st.integers(4, 12), how=hows)
    def change_places_of_slots(self, sum_: int, how: How) -> None:
        """Each gets the key that another one had."""
        self.execute(how, update(Slot).values(position=sum_ - Slot.position, marker=self.marker()))

    @rule(ids=some_ids, change=st.integers(-1, 1), how=hows)
    def update_accounts(self, ids: list[int], change: int, how: How) -> None:
        statement = update(Account).where(Account.id.in_(ids))
        self.execute(how, statement.values(balance=Account.balance + change, marker=self.marker()))

    @rule(ids=some_ids, how=hows)
    def update_accounts_one_by_one(self, ids: list[int], how: How) -> None:
        statement = update(Account.__table__).where(Account.id == bindparam("key")).values(marker=bindparam("stamp"))
        self.execute(how, statement, [{"key": id_, "stamp": self.marker()} for id_ in ids])

    @rule(how=hows)
    def update_without_a_change(self, how: How) -> None:
        self.execute(how, text("UPDATE accounts SET balance = balance"))

    @rule(amount=st.decimals(-9, 9, places=3) | st.none(), how=hows)
    def update_all_entries_by_text(self, amount: Any, how: How) -> None:
        statement = text("UPDATE entries SET amount = :amount, marker = :marker")
        self.execute(how, statement, {"amount": amount, "marker": self.marker()})

    @rule(names=some_names, content=contents, how=hows)
    def update_notes_with_the_orm(self, names: list[str], content: Any, how: How) -> None:
        def change(session: Session) -> None:
            for note in session.scalars(select(Note).where(Note.name.in_(names))):
                note.content, note.marker = content, self.marker()

        self.flush(how, change)

    @rule(ids=some_ids, step=st.integers(-8, 8).filter(bool), how=hows)
    def change_keys_of_accounts(self, ids: list[int], step: int, how: How) -> None:
        """The keys of entries follow."""
        statement = update(Account).where(Account.id.in_(ids))
        self.execute(how, statement.values(id=Account.id + step, marker=self.marker()))

    @rule(ids=some_ids, how=hows)
    def delete_accounts(self, ids: list[int], how: How) -> None:
        """Their entries go, too."""
        self.execute(how, delete(Account).where(Account.id.in_(ids)))

    @rule(numbers=some_ids, how=hows)
    def move_entries_to_notes(self, numbers: list[int], how: How) -> None:
        """One statement writes two tables."""
        moved = delete(Entry).where(Entry.number.in_(numbers)).returning(Entry.account_id, Entry.born).cte("moved")
        name = func.format(literal("%s/%s"), moved.c.account_id, moved.c.born)
        source = select(name, literal(self.marker()), moved.c.born)
        self.execute(how, insert(Note).from_select(["name", "marker", "born"], source))

    @rule(names=some_names, how=hows)
    def delete_notes_with_the_orm(self, names: list[str], how: How) -> None:
        def remove(session: Session) -> None:
            for note in session.scalars(select(Note).where(Note.name.in_(names))):
                session.delete(note)

        self.flush(how, remove)

    @rule(new=st.lists(st.tuples(st.integers(1, 5), years), min_size=1, max_size=4, unique=True), how=hows)
    def insert_events(self, new: list[tuple[int, int]], how: How) -> None:
        marker = self.marker()
        rows = [{"id": id_, "year": year, "marker": marker, "born": next(self.numbers)} for id_, year in new]
        self.execute(how, insert(Event).values(rows))

    @rule(id_=st.integers(1, 5), year=years, how=hows)
    def insert_into_a_partition(self, id_: int, year: int, how: How) -> None:
        statement = text(f"INSERT INTO events_{year} (id, year, marker, born) VALUES (:id, {year}, :marker, :born)")
        self.execute(how, statement, {"id": id_, "marker": self.marker(), "born": next(self.numbers)})

    @rule(ids=some_ids, year=years, how=hows)
    def move_events_to_a_partition(self, ids: list[int], year: int, how: How) -> None:
        """Those that are there already are updated where they are."""
        self.execute(how, update(Event).where(Event.id.in_(ids)).values(year=year, marker=self.marker()))

    @rule(year=years, step=st.integers(-1, 1), how=hows)
    def update_a_partition(self, year: int, step: int, how: How) -> None:
        statement = text(f"UPDATE events_{year} SET id = id + {step}, marker = :marker")
        self.execute(how, statement, {"marker": self.marker()})

    @rule(ids=some_ids, how=hows)
    def delete_events(self, ids: list[int], how: How) -> None:
        self.execute(how, delete(Event).where(Event.id.in_(ids)))

    @rule(
        tables=st.sampled_from(["notes", "entries", "notes, slots", "accounts, entries", "events", "events_2"]),
        how=hows,
    )
    def truncate(self, tables: str, how: How) -> None:
        changes = {}
        for name in tables.split(", "):
            root, _, year = name.partition("_")
            rows = list(self.tables[root].values())
            # Each partition says for itself what was in it.
            years = [int(year)] if year else YEARS
            parts = [[row for row in rows if row["year"] == each] for each in years] if root == "events" else [rows]
            kept = itertools.chain(*parts) if root in ("notes", "events") else []
            changes[root] = [
                *(Change("delete", to_json(row), "{}", how.actor) for row in kept),
                *(Change("truncate", "{}", to_json({"rows": len(part)}), how.actor) for part in parts),
            ]
        # Where one is named, its CASCADE reaches the other.
        self.execute(how, text(f"TRUNCATE {tables.removesuffix(', entries')} CASCADE"), changes=changes)

    @rule(how=hows)
    def write_unseen(self, how: How) -> None:
        def run() -> None:
            with audit_log.disable(self.connection):
                self.connection.execute(insert(Hidden).values(marker=self.marker()))
                self.connection.execute(update(Hidden).values(marker=self.marker()))

        self.write(how, run)

    @rule(how=hows)
    def fail(self, how: How) -> None:
        """An error takes away what was written before it."""

        def run() -> None:
            self.connection.execute(update(Account).values(marker=self.marker()))
            self.connection.exec_driver_sql("SELECT 1 / 0")

        self.write(how, run)

    # What has to come of it.

    def execute(
        self, how: How, statement: Executable, parameters: Any = None, changes: Statement | None = None
    ) -> None:
        self.write(how, lambda: self.connection.execute(statement, parameters), changes)

    def copy(self, rows: list[dict[str, Any]]) -> None:
        """On the cursor of the driver, where SQLAlchemy sees nothing."""
        audit_log.send_context(self.connection)
        cursor: Any = self.connection.connection.cursor()
        with cursor, cursor.copy("COPY accounts (id, balance, marker, born) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(tuple(row.values()))

    def flush(self, how: How, change: Callable[[Session], Any]) -> None:
        if not self.connection.in_transaction():
            self.connection.begin()

        def run() -> None:
            with Session(self.connection, join_transaction_mode="create_savepoint") as session:
                change(session)
                session.commit()

        self.write(how, run)

    def write(self, how: How, run: Callable[[], Any], changes: Statement | None = None) -> None:
        """Run something, and note which changes it made, unless the caller knows."""
        nested = None if how.savepoint == "none" else self.connection.begin_nested()
        try:
            with audit_context(actor_id=how.actor):
                self.look(how.settings)
                run()
                if how.settings:
                    self.look((name, values[0]) for name, values in looks.items())
        except (IntegrityError, DataError, OperationalError, psycopg.IntegrityError) as error:
            # 27000: a trigger or a function was faster than the statement that it is a part of.
            if isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) != "27000":
                raise
            if nested is None:
                self.roll_back()
            else:
                nested.rollback()
            return
        if nested is not None and how.savepoint == "lost":
            nested.rollback()
            return
        if nested is not None:
            nested.commit()
        after = self.read()
        self.statements[-1].append(differences(self.tables, after, how.actor) if changes is None else changes)
        self.tables = after

    def look(self, settings: Iterable[tuple[str, str]]) -> None:
        """Set these, for this transaction."""
        if calls := [func.set_config(name, value, True) for name, value in settings]:
            self.connection.execute(select(*calls))

    def check(self, statements: list[Statement]) -> None:
        """Compare what was committed with the trail and the trail with the tables."""
        expected = defaultdict(list)
        for statement in statements:
            for name, changes in statement.items():
                expected[name].append(sorted(changes, key=repr))
        found = self.recorded()
        for table in RECORDED:
            name = table.name
            recorded = iter(found.pop(name, []))
            for changes in expected[name]:
                of_statement = list(itertools.islice(recorded, len(changes)))
                assert sorted(of_statement, key=repr) == changes
            assert list(recorded) == []
        for table in (*RECORDED, *SEVERAL_TIMES):
            assert rebuilt(self.connection, audit_log, table, self.start) == stored(self.connection, table)
        # What disable() may leave in the trail is not a change.
        assert not any(change.verb in ("insert", "update", "delete") for change in found.get("hidden", []))
        self.check_transactions()
        self.note_the_last()

    def note_the_last(self) -> None:
        """What is in the trail so far has been checked."""
        self.last = self.connection.scalar(select(func.max(Activity.id))) or 0
        self.last_transaction = self.connection.scalar(select(func.max(Transaction.id))) or 0

    def check_transactions(self) -> None:
        """A database transaction has a row for each actor with a change, and no other."""
        transactions = select(Transaction.native_transaction_id, Transaction.actor_id).where(
            Transaction.id > self.last_transaction
        )
        activities = (
            select(Activity.native_transaction_id, Transaction.actor_id)
            .join(Transaction, Transaction.id == Activity.transaction_id)
            .where(Activity.id > self.last)
        )
        rows = [tuple(row) for row in self.connection.execute(transactions)]
        assert len(rows) == len(set(rows))
        assert set(rows) == {tuple(row) for row in self.connection.execute(activities)}

    def recorded(self) -> dict[str, list[Change]]:
        query = (
            select(
                Activity.table_name,
                Activity.verb,
                cast(Activity.completed_old_data, Text),
                cast(Activity.changed_data, Text),
                Transaction.actor_id,
            )
            .join(Transaction, Transaction.id == Activity.transaction_id)
            .where(Activity.id > self.last)
            .order_by(Activity.id)
        )
        found = defaultdict(list)
        for name, verb, old, changed, actor in self.connection.execute(query):
            found[name].append(Change(verb, to_json(json.loads(old)), to_json(json.loads(changed)), actor))
        return found

    def read(self) -> Tables:
        """Read all tables; rows by what never changes of them."""
        queries = [
            select(literal(table.name), cast(func.to_jsonb(table.table_valued()), Text)).select_from(table)
            for table in RECORDED
        ]
        tables: Tables = {table.name: {} for table in RECORDED}
        for name, row in self.connection.execute(union_all(*queries)):
            read = json.loads(row)
            tables[name][read["born"]] = read
        return tables

    def marker(self) -> str:
        return f"m{next(self.numbers)}"


def differences(before: Tables, after: Tables, actor: str | None) -> Statement:
    """Return what must have been done to get from one state to the other."""
    found = {}
    for name in before:
        changes = []
        for born in before[name].keys() | after[name].keys():
            old, new = before[name].get(born, {}), after[name].get(born, {})
            verb = "insert" if not old else "update" if new else "delete"
            changed = {column: value for column, value in new.items() if column not in old or old[column] != value}
            if old != new:
                changes.append(Change(verb, to_json(old), to_json(changed), actor))
        found[name] = changes
    return found


def to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
