"""The partitions of the trail: they are closed without blocking writers, and every one of them is protected."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog, ConfigurationError, MaintenanceError, audit_context
from sqlalchemy import URL, Column, Connection, Engine, Integer, MetaData, Table, create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

pytestmark = pytest.mark.each_server


class Trail:
    """A database with one audited table, and its trail in a schema with a name that needs quotes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.metadata = MetaData()
        columns = [Column("id", Integer, primary_key=True), Column("n", Integer)]
        self.items = Table("items", self.metadata, *columns, info={"versioned": {}})
        self.log = AuditLog(self.metadata, schema='Audit: "x"')
        self.log.attach(engine)
        with engine.begin() as connection:
            self.metadata.create_all(connection)
            self.log.install(connection)

    def write(self, first: int, last: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(self.items.insert(), [{"id": number, "n": 0} for number in range(first, last + 1)])

    def partitions(self) -> list[Any]:
        with self.engine.connect() as connection:
            return self.log.partitions(connection)

    def ids(self) -> list[int]:
        with self.engine.connect() as connection:
            return sorted(row.id for row in connection.execute(self.log.activities(table="items")))

    def operations(self) -> list[dict[str, Any]]:
        activity = self.log.activity_cls
        with self.engine.connect() as connection:
            query = self.log.activities(verb="maintenance").with_only_columns(activity.changed_data)
            return [dict(each) for each in connection.scalars(query)]


@pytest.fixture
def trail(database: URL) -> Iterator[Trail]:
    engine = create_engine(database, poolclass=NullPool)
    trail = Trail(engine)
    yield trail
    trail.log.detach(engine)
    engine.dispose()


def test_the_open_partition_is_closed_and_another_one_begun(trail: Trail) -> None:
    trail.write(1, 3)
    with audit_context(actor_id="ann"):
        trail.log.split(trail.engine, at_once=True)
    trail.write(4, 5)
    closed, open_ = trail.partitions()
    assert (closed.name, closed.rows, closed.is_open) == ("activity_p0001", 3, False)
    assert closed.first_issued_at < closed.last_issued_at <= open_.first_issued_at
    assert (closed.from_id, closed.end_id, open_.end_id) == (0, open_.from_id, None)
    assert [identity < closed.end_id for identity in trail.ids()] == [True] * 3 + [False] * 2
    (operation,) = trail.operations()
    assert (operation["operation"], operation["partition"], operation["rows"]) == ("split", "activity_p0001", 3)
    with trail.engine.connect() as connection:
        assert trail.log.check(connection) == []
        assert len(connection.execute(trail.log.activities(verb="maintenance", actor="ann")).all()) == 1


def test_who_may_read_the_trail_may_read_it_afterwards(trail: Trail, database: URL) -> None:
    """With a name that needs quotes, also where it stands within a text."""
    role = f"reader's {database.database}"
    trail.write(1, 3)
    with trail.engine.begin() as connection:
        run(
            connection,
            f'CREATE ROLE "{role}"',
            f'GRANT USAGE ON SCHEMA "Audit: ""x""" TO "{role}"',
            f'GRANT SELECT ON ALL TABLES IN SCHEMA "Audit: ""x""" TO "{role}"',
        )
    trail.log.split(trail.engine, at_once=True)
    trail.write(4, 5)
    with trail.engine.begin() as connection:
        run(connection, f'SET LOCAL ROLE "{role}"')
        assert len(connection.execute(trail.log.activities(table="items")).all()) == 5
        run(connection, "RESET ROLE", f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


def test_nothing_happens_within_a_month(trail: Trail) -> None:
    trail.write(1, 3)
    trail.log.split(trail.engine)
    trail.log.split(trail.engine)
    assert [each.is_open for each in trail.partitions()] == [True]
    assert trail.operations() == []


def test_an_empty_trail_is_not_split(trail: Trail) -> None:
    trail.log.split(trail.engine, at_once=True)
    assert [each.is_open for each in trail.partitions()] == [True]


def test_a_partition_of_an_earlier_month_is_closed(trail: Trail) -> None:
    trail.write(1, 3)
    age(trail, 40)
    trail.log.split(trail.engine)
    trail.log.split(trail.engine)
    assert [each.is_open for each in trail.partitions()] == [False, True]


def test_it_can_be_split_many_times(trail: Trail) -> None:
    for number in range(1, 4):
        trail.write(number, number)
        trail.log.split(trail.engine, at_once=True)
    *closed, open_ = trail.partitions()
    # That a partition was closed is recorded in the next one.
    assert [(each.name, each.rows) for each in closed] == [
        ("activity_p0001", 1),
        ("activity_p0002", 2),
        ("activity_p0003", 2),
    ]
    assert open_.is_open


def test_writers_go_on_while_it_is_split(trail: Trail) -> None:
    """No write fails and none is lost, and two splits at once do no harm."""
    stop = threading.Event()
    failures: list[BaseException] = []
    written = [0, 0]

    def write(number: int) -> None:
        identity = number * 1_000_000
        try:
            while not stop.is_set():
                identity += 1
                trail.write(identity, identity)
                written[number] += 1
        except BaseException as error:
            failures.append(error)

    def split() -> None:
        try:
            trail.log.split(trail.engine, at_once=True)
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for each in writers:
        each.start()
    for number in range(3):
        trail.write(-number, -number)
        splitters = [threading.Thread(target=split) for _ in range(2)]
        for each in splitters:
            each.start()
        for each in splitters:
            each.join(60)
    stop.set()
    for each in writers:
        each.join()
    assert failures == []
    assert len(trail.ids()) == sum(written) + 3
    assert len(trail.partitions()) >= 4


def test_it_is_given_up_without_a_trace_while_somebody_holds_a_lock(trail: Trail) -> None:
    trail.write(1, 3)
    with trail.engine.connect() as writer:
        writer.execute(trail.items.insert(), {"id": 4})
        with pytest.raises(MaintenanceError, match="held a lock on"):
            trail.log.split(trail.engine, at_once=True, patience=dt.timedelta(seconds=0.5))
        writer.commit()
    assert [each.is_open for each in trail.partitions()] == [True]
    with trail.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM pg_constraint WHERE conname = 'audit_logger_split'")) == 0
    trail.log.split(trail.engine, at_once=True)
    assert [each.is_open for each in trail.partitions()] == [False, True]


def test_what_a_killed_split_left_is_completed(trail: Trail) -> None:
    """Between the change of the partitions and the jump of the sequence, the session is gone."""
    trail.write(1, 3)
    trail.log.split(trail.engine, at_once=True)
    schema = '"Audit: ""x"""'
    with trail.engine.begin() as connection:
        run(
            connection,
            "SET LOCAL audit_logger.maintenance = 'on'",
            f"UPDATE {schema}.activity_partition SET row_count = NULL",
            f"DELETE FROM {schema}.activity WHERE verb = 'maintenance'",
            f"SELECT setval('{schema}.activity_id_seq', 4)",
        )
    trail.write(4, 6)  # into the closed one: no write fails
    trail.log.split(trail.engine)
    closed, _ = trail.partitions()
    assert closed.rows == 6
    trail.write(7, 7)
    assert trail.ids()[-1] >= closed.end_id


def test_a_constraint_that_a_killed_split_left_goes(trail: Trail) -> None:
    trail.write(1, 3)
    with trail.engine.begin() as connection:
        run(
            connection,
            'ALTER TABLE "Audit: ""x""".activity_open ADD CONSTRAINT audit_logger_split CHECK (id < 1000) NOT VALID',
        )
        (problem,) = trail.log.check(connection)
        assert "was interrupted" in problem.message
    trail.log.split(trail.engine)
    with trail.engine.connect() as connection:
        assert trail.log.check(connection) == []


def test_check_says_that_there_is_no_open_partition(trail: Trail) -> None:
    with trail.engine.begin() as connection:
        run(connection, 'DROP TABLE "Audit: ""x""".activity_open')
        assert "has no open partition" in trail.log.check(connection)[-1].message


@pytest.mark.parametrize("partition", ["activity_p0001", "activity_open", "by_hand"])
def test_no_partition_can_be_emptied(trail: Trail, partition: str) -> None:
    trail.write(1, 3)
    trail.log.split(trail.engine, at_once=True)
    schema, begin = '"Audit: ""x"""', trail.partitions()[-1].from_id
    with trail.engine.begin() as connection:
        if partition == "by_hand":
            bounds = f"FOR VALUES FROM ({begin}) TO (MAXVALUE)"
            run(
                connection,
                f"DROP TABLE {schema}.activity_open",
                f"CREATE TABLE {schema}.by_hand PARTITION OF {schema}.activity {bounds}",
            )
            unprotected, misnamed = trail.log.check(connection)
            assert "functions" in unprotected.message
            assert "'by_hand', and readers look for 'activity_open'" in misnamed.message
            trail.log.install(connection)
            assert len(trail.log.check(connection)) == 1
            run(connection, f"ALTER TABLE {schema}.by_hand RENAME TO activity_open")
            partition = "activity_open"
            assert trail.log.check(connection) == []
    for statement in (f"TRUNCATE {schema}.{partition}", f"DELETE FROM {schema}.{partition}"):
        with trail.engine.connect() as connection:
            if partition != "activity_p0001" and statement.startswith("DELETE"):
                run(connection, "INSERT INTO items VALUES (9)")
            with pytest.raises(DBAPIError, match="it is an audit trail"):
                run(connection, statement)


def test_it_wants_an_engine(trail: Trail) -> None:
    with trail.engine.connect() as connection, pytest.raises(ConfigurationError, match="not an Engine"):
        trail.log.split(connection)  # type: ignore[arg-type]


def age(trail: Trail, days: int) -> None:
    """Make all that is recorded older."""
    schema = '"Audit: ""x"""'
    with trail.engine.begin() as connection:
        run(
            connection,
            "SET LOCAL audit_logger.maintenance = 'on'",
            f"UPDATE {schema}.activity SET issued_at = issued_at - interval '{days} days'",
            f"UPDATE {schema}.transaction SET issued_at = issued_at - interval '{days} days'",
            f"UPDATE {schema}.activity_partition SET last_issued_at = last_issued_at - interval '{days} days',"
            f" first_issued_at = first_issued_at - interval '{days} days'",
        )


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


# Of a record with few changes, and of times and transactions of long ago.
QUESTIONS = {
    "newest": lambda log, items: log.activities().limit(40),
    "by id": lambda log, items: select(log.activity_cls).where(log.activity_cls.id == 1),
    "transaction": lambda log, items: log.activities(transaction=1),
    "since": lambda log, items: log.activities(since=INSTANT + dt.timedelta(days=30 * 22)),
    "until": lambda log, items: log.activities(until=INSTANT + dt.timedelta(days=9)).limit(51),
    "history": lambda log, items: log.history(items, 3).limit(20),
}
INSTANT = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)
#: How many times as much is read as in one partition that holds all. Of a history, three indexes are asked in each.
MORE = {"history": 20}


@pytest.fixture(scope="module")
def long_trails(new_database: Any) -> Iterator[tuple[Trail, Trail]]:
    """Two years with 240 changes a month: in one partition, and in one for each month."""
    with new_database() as one, new_database() as many:
        engines = [create_engine(url, poolclass=NullPool) for url in (one, many)]
        whole, parts = (Trail(engine) for engine in engines)
        fill(whole, is_split=False)
        fill(parts, is_split=True)
        yield whole, parts
        for trail in (whole, parts):
            trail.log.detach(trail.engine)
            trail.engine.dispose()


def fill(trail: Trail, is_split: bool) -> None:
    schema = '"Audit: ""x"""'
    for month in range(24):
        begin, end = ((INSTANT + dt.timedelta(days=30 * (month + number))).isoformat() for number in (0, 1))
        trail.write(month * 240 + 1, month * 240 + 240)
        if is_split and month < 23:
            trail.log.split(trail.engine, at_once=True)
        with trail.engine.begin() as connection:
            run(
                connection,
                "SET LOCAL audit_logger.maintenance = 'on'",
                f"UPDATE {schema}.activity SET issued_at = CASE WHEN table_name = 'items' THEN timestamptz '{begin}' "
                f"+ interval '1 hour' * mod(row_key::int, 240) ELSE timestamptz '{end}' END "
                "WHERE issued_at > now() - interval '1 hour'",
                f"UPDATE {schema}.activity_partition SET first_issued_at = '{begin}',"
                f" last_issued_at = '{end}' WHERE last_issued_at > now() - interval '1 hour'",
            )
    with trail.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run(connection, "VACUUM ANALYZE")


@pytest.mark.parametrize("question", QUESTIONS)
def test_as_little_is_read_of_many_partitions_as_of_one(long_trails: tuple[Trail, Trail], question: str) -> None:
    """The server's own counters: how many blocks a question reads, with those of the catalog read before."""
    whole, parts = long_trails
    assert len(parts.partitions()) == 24
    assert found(whole, question) == found(parts, question) != []
    assert blocks(parts, question) <= MORE.get(question, 3) * blocks(whole, question) + 10


def found(trail: Trail, question: str) -> list[tuple[str, str]]:
    query = QUESTIONS[question](trail.log, trail.items)
    with Session(trail.engine) as session:
        rows = session.scalars(query)
        return [(each.verb, each.row_key) for each in rows if each.verb != "maintenance"]


def blocks(trail: Trail, question: str) -> int:
    compiled = QUESTIONS[question](trail.log, trail.items).compile(
        trail.engine, compile_kwargs={"render_postcompile": True}
    )
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {compiled.string}"
    with trail.engine.connect() as connection:
        run(connection, "SET enable_seqscan = off", "SET jit = off")
        for _ in range(2):
            (plan,) = connection.exec_driver_sql(explain, dict(compiled.construct_params())).scalar_one()
    return int(plan["Plan"]["Shared Hit Blocks"]) + int(plan["Plan"]["Shared Read Blocks"])
