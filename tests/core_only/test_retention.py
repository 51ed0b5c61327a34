"""What is old goes, what is held stays, and the trail says where it begins."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog, ConfigurationError, HistoryError, MaintenanceError, audit_context
from audit_core.siblings import audit_relations, rows_after, scope_of
from sqlalchemy import URL, Column, Connection, Engine, Integer, MetaData, Table, create_engine, func, select, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

YEAR = dt.timedelta(days=365)

#: What says when something was.
TIMES = {
    "activity": ["issued_at"],
    "transaction": ["issued_at"],
    "activity_coverage": ["issued_at"],
    "activity_partition": ["first_issued_at", "last_issued_at"],
}


class Trail:
    """A database with three audited tables, one of which keeps less, and a way to make what is recorded older."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.metadata = MetaData()
        self.items, self.noise, self.parts = (
            Table(
                name,
                self.metadata,
                Column("id", Integer, primary_key=True),
                Column("n", Integer),
                info={"versioned": options},
            )
            for name, options in (("items", {}), ("noise", {"keep": "30d"}), ("parts", {}))
        )
        self.log = AuditLog(self.metadata)
        self.log.attach(engine)
        with engine.begin() as connection:
            self.metadata.create_all(connection)
            self.log.install(connection)

    def insert(self, table: Table, *ids: int, actor: str = "ann") -> None:
        with audit_context(actor_id=actor), self.engine.begin() as connection:
            connection.execute(table.insert(), [{"id": each, "n": 0} for each in ids])

    def update(self, table: Table, *ids: int) -> None:
        with self.engine.begin() as connection:
            connection.execute(table.update().where(table.c.id.in_(ids)).values(n=table.c.n + 1))

    def close(self, age: dt.timedelta = dt.timedelta(0)) -> None:
        """Close the open partition, and make all that is recorded older."""
        self.log.split(self.engine, at_once=True)
        make_older(self, age.days)

    def recorded(self, table: Table) -> list[tuple[str, str]]:
        activity = self.log.activity_cls
        query = select(activity.verb, activity.row_key).where(activity.table_name == table.name).order_by(activity.id)
        with self.engine.connect() as connection:
            return [(row.verb, row.row_key) for row in connection.execute(query)]

    def names(self) -> list[str]:
        with self.engine.connect() as connection:
            return [each.name for each in self.log.partitions(connection)]

    def operations(self) -> list[dict[str, Any]]:
        activity = self.log.activity_cls
        with self.engine.connect() as connection:
            return list(connection.scalars(select(activity.changed_data).where(activity.verb == "maintenance")))

    def count(self, table: str) -> int:
        with self.engine.connect() as connection:
            found: int = connection.scalar(text(f"SELECT count(*) FROM {table}"))
            return found


@pytest.fixture
def trail(database: URL) -> Iterator[Trail]:
    engine = create_engine(database, poolclass=NullPool)
    trail = Trail(engine)
    yield trail
    trail.log.detach(engine)
    engine.dispose()


def two_years(trail: Trail) -> None:
    """One partition that is older than a year, one of this year, and the open one."""
    trail.insert(trail.items, 1, 2)
    trail.insert(trail.parts, 1, actor="ben")
    trail.close(YEAR)
    trail.update(trail.items, 1)
    trail.close(YEAR / 2)
    trail.update(trail.items, 2)


def test_old_partitions_go_as_a_whole_with_their_transactions(trail: Trail) -> None:
    two_years(trail)
    with audit_context(actor_id="carl"):
        (removal,) = trail.log.retain(trail.engine, "1y")
    assert (removal.partition, removal.rows, removal.held, removal.table) == ("activity_p0001", 3, 0, None)
    assert removal.bytes > 0
    assert trail.names() == ["activity_p0002", "activity_open"]
    assert trail.recorded(trail.items) == [("update", "1"), ("update", "2")]
    # Of two updates, two splits and the retention.
    assert trail.count("transaction") == len({*trail_transactions(trail)}) == 5
    done = [each for each in trail.operations() if each["operation"] == "retain"]
    assert [(each["partition"], each["rows"], each["keep"]) for each in done] == [("activity_p0001", 3, "1 years")]
    with trail.engine.connect() as connection:
        assert len(connection.execute(trail.log.activities(verb="maintenance", actor="carl")).all()) == 1
        assert trail.log.check(connection) == []
    assert trail.log.retain(trail.engine, "1y") == []


def test_a_dry_run_removes_nothing(trail: Trail) -> None:
    two_years(trail)
    (planned,) = trail.log.retain(trail.engine, "1y", dry_run=True)
    assert trail.names() == ["activity_p0001", "activity_p0002", "activity_open"]
    assert trail.count("activity_retention") == 0
    (done,) = trail.log.retain(trail.engine, "1y")
    assert planned == done


def test_the_open_partition_never_goes(trail: Trail) -> None:
    trail.insert(trail.items, 1)
    trail.close(YEAR * 3)
    trail.insert(trail.items, 2)
    with trail.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = 'on'")
        connection.exec_driver_sql("UPDATE activity SET issued_at = issued_at - interval '3 years'")
    trail.log.retain(trail.engine, "1y")
    assert trail.recorded(trail.items) == [("insert", "2")]


def test_a_table_may_keep_less(trail: Trail) -> None:
    trail.insert(trail.noise, 1, 2)
    trail.insert(trail.items, 1)
    trail.close(dt.timedelta(days=60))
    trail.insert(trail.noise, 3)
    (removal,) = trail.log.retain(trail.engine)
    assert (removal.table, removal.rows, removal.partition) == ("public.noise", 2, None)
    assert trail.recorded(trail.noise) == [("insert", "3")]
    assert trail.recorded(trail.items) == [("insert", "1")]
    with trail.engine.connect() as connection:
        assert [each.rows for each in trail.log.partitions(connection)][:1] == [1]
    assert trail.count("transaction") == len({*trail_transactions(trail)})


@pytest.mark.parametrize(
    ("held", "left"),
    [
        ({"table": "items", "key": 1}, [("insert", "1")]),
        ({"table": "items"}, [("insert", "1"), ("insert", "2")]),
        ({"actor": "ann"}, [("insert", "1"), ("insert", "2")]),
        ({"actor": "ben"}, []),
    ],
)
def test_what_is_held_survives_its_partition(trail: Trail, held: dict[str, Any], left: list[tuple[str, str]]) -> None:
    two_years(trail)
    with trail.engine.begin() as connection:
        placed = trail.log.hold(connection, "case 17", **held)
    (removal,) = trail.log.retain(trail.engine, "1y")
    assert removal.rows + removal.held == 3
    assert removal.held == max(len(left), 1)
    assert trail.recorded(trail.items)[: len(left)] == left
    # They can be read with who made them.
    with trail.engine.connect() as connection:
        query = trail.log.activities(actor="ben" if not left else "ann")
        assert len(connection.execute(query).all()) == max(len(left), 1)
        assert trail.log.check(connection) == []
        assert trail.log.partitions(connection)[0].is_held
    assert trail.count("transaction") == len({*trail_transactions(trail)})
    assert trail.log.retain(trail.engine, "1y") == []
    with trail.engine.begin() as connection:
        trail.log.release(connection, placed)
    (released,) = trail.log.retain(trail.engine, "1y")
    assert released.rows == removal.held
    assert trail.names() == ["activity_p0002", "activity_open"]
    assert trail.count("transaction") == len({*trail_transactions(trail)})


def test_what_is_held_says_how_a_row_was_then_and_not_later(trail: Trail) -> None:
    two_years(trail)
    with trail.engine.begin() as connection:
        trail.log.hold(connection, "case 17", table="items", key=2)
    trail.log.retain(trail.engine, "1y")
    with Session(trail.engine) as session:
        *_, held = session.scalars(trail.log.history(trail.items, 2))
        asked = [(held, held.issued_at), (held, held.issued_at + dt.timedelta(seconds=1))]
        then, later = rows_after(scope_of(trail.log), session, trail.items, asked)
    assert then == ({"id": 2, "n": 0}, ())
    # What ended it may have been removed.
    assert later is None


def test_holds_are_listed_and_said_to_have_been_released(trail: Trail) -> None:
    with audit_context(actor_id="ann"), trail.engine.begin() as connection:
        trail.log.send_context(connection)
        placed = trail.log.hold(connection, "case 17", table=trail.items, since=dt.datetime.now(dt.timezone.utc))
        assert (placed.table_name, placed.schema, placed.placed_by) == ("items", "public", "ann")
        assert trail.log.holds(connection) == [placed]
        trail.log.release(connection, placed.id)
        assert trail.log.holds(connection) == []
        (released,) = trail.log.holds(connection, released=True)
        assert released.released_at is not None
        with pytest.raises(HistoryError, match="no hold 1 that is in force"):
            trail.log.release(connection, placed.id)
    assert sorted(each["operation"] for each in trail.operations()) == ["hold", "release"]


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({}, "at least one of"),
        ({"key": 1}, "without a table"),
        ({"table": "items", "reason": " "}, "say why"),
        ({"table": "other"}, "No table 'other' is audited"),
        ({"table": "items", "key": (1, 2)}, "not a primary key"),
        ({"since": dt.datetime(2026, 1, 1)}, "no time zone"),
    ],
)
def test_a_hold_that_cannot_be_meant_is_refused(trail: Trail, held: dict[str, Any], message: str) -> None:
    with trail.engine.begin() as connection, pytest.raises((ConfigurationError, HistoryError), match=message):
        trail.log.hold(connection, **{"reason": "case 17", **held})
    assert trail.count("activity_hold") == 0


@pytest.mark.parametrize("keep", ["", "2", "2x", "0d", "-1d", dt.timedelta(0), 3])
def test_a_period_that_cannot_be_read_is_refused(trail: Trail, keep: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep is"):
        trail.log.retain(trail.engine, keep)


def test_a_table_that_keeps_something_unreadable_is_refused(trail: Trail) -> None:
    trail.noise.info["versioned"]["keep"] = "short"
    message = "Table 'noise': 'keep' is 'short'"
    with trail.engine.connect() as connection, pytest.raises(ConfigurationError, match=message):
        trail.log.check(connection)


def test_it_does_not_pass_the_consumer_of_a_stream(trail: Trail) -> None:
    two_years(trail)
    trail.insert(trail.noise, 1)
    stream = trail.log.stream(trail.engine, "search", start="beginning")
    first = next(iter(stream.batches(wait=False)))
    assert trail.log.retain(trail.engine, "1y") == []
    first.acknowledge()
    assert [each.partition for each in trail.log.retain(trail.engine, "1y")] == ["activity_p0001"]


def test_two_at_once_do_no_harm(trail: Trail) -> None:
    two_years(trail)
    with trail.engine.connect() as other:
        other.execute(text("SELECT pg_advisory_lock(hashtextextended('audit_logger_retain public', 0))"))
        with pytest.raises(MaintenanceError, match="Another session"):
            trail.log.retain(trail.engine, "1y")
    assert len(trail.log.retain(trail.engine, "1y")) == 1


def test_it_waits_for_no_writer_and_gives_up_where_it_would_have_to(trail: Trail) -> None:
    two_years(trail)
    with trail.engine.begin() as connection:
        trail.log.hold(connection, "case 17", table="items", key=1)
    with trail.engine.connect() as writer:
        writer.execute(trail.items.insert(), {"id": 9})
        with pytest.raises(MaintenanceError, match="held a lock"):
            trail.log.retain(trail.engine, "1y", patience=dt.timedelta(seconds=0.3))
        assert len(trail.recorded(trail.items)) == 4
        writer.commit()
    assert len(trail.log.retain(trail.engine, "1y")) == 1


@pytest.mark.parametrize("interrupted", ["detached", "pending"])
def test_what_an_interrupted_run_left_is_completed(trail: Trail, interrupted: str) -> None:
    two_years(trail)
    with trail.engine.connect() as connection:
        if interrupted == "detached":
            connection.exec_driver_sql("ALTER TABLE activity DETACH PARTITION activity_p0001")
        else:
            pend(connection, trail.engine)
        connection.commit()
        # Autogenerate must not take it for a table of the application.
        assert ("public", "activity_p0001") in audit_relations(connection)
    assert trail.log.retain(trail.engine, "1y") == []
    assert trail.count("pg_class WHERE relname = 'activity_p0001'") == 0
    assert [each["operation"] for each in trail.operations()].count("retain") == 1
    assert trail.count("transaction") == len({*trail_transactions(trail)})


def pend(connection: Connection, engine: Engine) -> None:
    """Interrupt a concurrent detach while it waits for a reader."""
    connection.exec_driver_sql("SELECT count(*) FROM activity_p0001")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        other.exec_driver_sql("SET lock_timeout = '300ms'")
        with pytest.raises(Exception, match="lock timeout"):
            other.exec_driver_sql("ALTER TABLE activity DETACH PARTITION activity_p0001 CONCURRENTLY")
        pending = other.scalar(text("SELECT count(*) FROM pg_inherits WHERE inhdetachpending"))
    assert pending == 1


def test_check_says_when_retention_has_not_run(trail: Trail) -> None:
    trail.log.retain(trail.engine, "1y")
    with trail.engine.begin() as connection:
        assert trail.log.check(connection) == []
        connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = 'on'")
        connection.exec_driver_sql("UPDATE activity_retention SET run_at = run_at - interval '40 days'")
        messages = [each.message for each in trail.log.check(connection)]
    assert len(messages) == 2  # of all, and of the table with a period of its own
    assert messages[0].startswith("Retention keeps 1 year and ran last on")
    assert messages[1].startswith("Retention of public.noise keeps 30 days")
    trail.log.retain(trail.engine, "forever")
    with trail.engine.begin() as connection:
        assert trail.log.check(connection) == []


def test_check_says_what_should_have_gone(trail: Trail) -> None:
    """Retention runs every night, and nobody splits; or a consumer of a stream is dead."""
    trail.insert(trail.items, 1)
    trail.log.retain(trail.engine, "90d")
    make_older(trail, 200)
    with trail.engine.connect() as connection:
        (problem,) = trail.log.check(connection)
    assert "public.activity_open still begins at" in problem.message
    assert "partitions --split" in problem.message
    trail.log.split(trail.engine)
    next(iter(trail.log.stream(trail.engine, "dead", start="beginning").batches(wait=False)))
    make_older(trail, 200)
    with trail.engine.connect() as connection:
        messages = [each.message for each in trail.log.check(connection)]
    assert ["public.activity_p0001 still begins at" in each for each in messages].count(True) == 1
    with trail.engine.begin() as connection:
        trail.log.remove_stream(connection, "dead")
    trail.log.split(trail.engine)
    trail.log.retain(trail.engine, "90d")
    with trail.engine.connect() as connection:
        assert trail.log.check(connection) == []


def make_older(trail: Trail, days: int) -> None:
    """Make all that is recorded older."""
    with trail.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = 'on'")
        for table, columns in TIMES.items():
            moved = ", ".join(f"{each} = {each} - interval '{days} days'" for each in columns)
            connection.exec_driver_sql(f"UPDATE {table} SET {moved}")


def trail_transactions(trail: Trail) -> list[int]:
    with trail.engine.connect() as connection:
        return list(connection.scalars(select(func.distinct(trail.log.activity_cls.transaction_id))))


def instants(trail: Trail) -> dict[str, dt.datetime]:
    """A time in the removed year, one after it before anything else was recorded, and now."""
    with trail.engine.connect() as connection:
        partitions = trail.log.partitions(connection)
        return {
            "removed": partitions[0].first_issued_at - dt.timedelta(days=1),
            "known": partitions[0].first_issued_at + dt.timedelta(days=30),
            "now": connection.scalar(select(func.clock_timestamp())),
        }


def rows(trail: Trail, when: dt.datetime) -> list[tuple[int, int]]:
    past = trail.log.as_of(trail.items, when)
    with trail.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(select(past.c.id, past.c.n).order_by(past.c.id))]


def a_year_later(trail: Trail) -> None:
    """Of rows 1 to 5: unchanged, updated, deleted, with another key, and gone before the trail begins."""
    trail.insert(trail.items, 1, 2, 3, 4, 5)
    with trail.engine.begin() as connection:
        connection.execute(trail.items.delete().where(trail.items.c.id == 5))
    trail.update(trail.items, 1)
    trail.close(YEAR)
    trail.insert(trail.parts, 1)
    trail.close(YEAR / 2)
    trail.update(trail.items, 2)
    with trail.engine.begin() as connection:
        connection.execute(trail.items.delete().where(trail.items.c.id == 3))
        connection.execute(trail.items.update().where(trail.items.c.id == 4).values(id=40))
    trail.insert(trail.items, 6)


def test_the_past_is_known_from_where_the_trail_begins_now(trail: Trail) -> None:
    a_year_later(trail)
    trail.log.retain(trail.engine, "1y", snapshot=True)
    when = instants(trail)
    assert rows(trail, when["known"]) == [(1, 1), (2, 0), (3, 0), (4, 0)]
    assert rows(trail, when["now"]) == [(1, 1), (2, 1), (6, 0), (40, 0)]
    with pytest.raises(Exception, match="retention removed what was recorded of items before"):
        rows(trail, when["removed"] - YEAR)
    with trail.engine.connect() as connection:
        for key, found in ((1, 1), (2, 0), (3, 0), (4, 0)):
            assert trail.log.get_as_of(connection, trail.items, key, when["known"])["n"] == found
        for key in (5, 6, 40):
            assert trail.log.get_as_of(connection, trail.items, key, when["known"]) is None
        with pytest.raises(HistoryError, match="Retention removed what was recorded of 'items' before"):
            trail.log.get_as_of(connection, trail.items, 1, when["removed"] - YEAR)
        connection.rollback()
        assert [each for each in trail.log.verify(connection) if each.is_failure] == []


def test_without_a_snapshot_it_says_that_rows_would_be_missing(trail: Trail) -> None:
    a_year_later(trail)
    trail.log.retain(trail.engine, "1y")
    when = instants(trail)
    with pytest.raises(Exception, match="rows that have not changed since would be missing"):
        rows(trail, when["known"])
    with trail.engine.connect() as connection:
        assert trail.log.get_as_of(connection, trail.items, 2, when["known"])["n"] == 0
        with pytest.raises(HistoryError, match="it has not changed since"):
            trail.log.get_as_of(connection, trail.items, 1, when["known"])
        connection.rollback()
        assert [each for each in trail.log.verify(connection) if each.is_failure] == []


def test_rows_that_changed_places_since_are_known(trail: Trail) -> None:
    with trail.engine.begin() as connection:
        connection.execute(text("ALTER TABLE items DROP CONSTRAINT items_pkey, ADD PRIMARY KEY (id) DEFERRABLE"))
    trail.insert(trail.items, 1, 2, 3)
    with trail.engine.begin() as connection:
        connection.execute(trail.items.update().values(n=trail.items.c.id * 10))
    trail.close(YEAR)
    trail.insert(trail.parts, 1)
    trail.close(YEAR / 2)
    with trail.engine.begin() as connection:
        connection.execute(trail.items.update().values(id=trail.items.c.id % 3 + 1))
    trail.log.retain(trail.engine, "1y", snapshot=True)
    with trail.engine.connect() as connection:
        known = trail.log.partitions(connection)[0].first_issued_at
    assert known is not None
    assert rows(trail, known) == [(1, 10), (2, 20), (3, 30)]


def test_what_is_held_does_not_stand_for_what_came_later(trail: Trail) -> None:
    """Ann's insert is held; Ben's update of it, also of the removed year, is not."""
    trail.insert(trail.items, 1, actor="ann")
    trail.update(trail.items, 1)
    trail.close(YEAR)
    trail.insert(trail.parts, 1)
    trail.close(YEAR / 2)
    with trail.engine.begin() as connection:
        trail.log.hold(connection, "case 17", actor="ann")
    trail.log.retain(trail.engine, "1y", snapshot=True)
    with trail.engine.connect() as connection:
        partitions = trail.log.partitions(connection)
    assert rows(trail, partitions[1].first_issued_at) == []
    trail.log.retain(trail.engine, "1y", snapshot=True)


def test_a_table_that_keeps_less_is_known_from_its_own_limit(trail: Trail) -> None:
    trail.insert(trail.noise, 1, 2)
    trail.insert(trail.items, 1)
    trail.close(dt.timedelta(days=60))
    trail.update(trail.noise, 2)
    trail.log.retain(trail.engine, snapshot=True)
    when = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=10)
    past = trail.log.as_of(trail.noise, when)
    with trail.engine.connect() as connection:
        assert connection.execute(select(past.c.id, past.c.n).order_by(past.c.id)).all() == [(1, 0), (2, 0)]
        past = trail.log.as_of(trail.noise, when - dt.timedelta(days=30))
        with pytest.raises(Exception, match="retention removed what was recorded of noise"):
            connection.execute(select(past))
    assert rows(trail, when) == [(1, 0)]


def test_a_row_is_restored_to_what_its_first_activity_found(trail: Trail) -> None:
    a_year_later(trail)
    trail.log.retain(trail.engine, "1y", snapshot=True)
    when = instants(trail)["known"]
    with trail.engine.begin() as connection:
        for key in (1, 2, 3, 4):
            trail.log.restore(connection, trail.items, key, when)
        with pytest.raises(HistoryError, match="was gone"):
            trail.log.restore(connection, trail.items, 6, when)
        found = connection.execute(select(trail.items).order_by(trail.items.c.id)).all()
    assert found == [(1, 1), (2, 0), (3, 0), (4, 0), (6, 0), (40, 0)]


@pytest.mark.parametrize("driver", ["psycopg2", "asyncpg"])
def test_other_drivers_do_it_too(database: URL, driver: str) -> None:
    def shorten(engine: Engine) -> list[Any]:
        trail = Trail(engine)
        two_years(trail)
        trail.insert(trail.noise, 1)
        with engine.begin() as connection:
            placed = trail.log.hold(connection, "case 17", table="items", key=1, until=dt.datetime.now(dt.timezone.utc))
            assert trail.log.holds(connection) == [placed]
        removed = trail.log.retain(engine, "1y", snapshot=True)
        trail.log.detach(engine)
        return removed

    url = database.set(drivername=f"postgresql+{driver}")
    if driver == "psycopg2":
        engine = create_engine(url, poolclass=NullPool)
        (removal,) = shorten(engine)
        engine.dispose()
    else:

        async def main() -> list[Any]:
            engine = create_async_engine(url, poolclass=NullPool)
            async with engine.connect() as connection:
                removed = await connection.run_sync(lambda connection: shorten(connection.engine))
            await engine.dispose()
            return removed

        (removal,) = asyncio.run(main())
    assert (removal.rows, removal.held) == (2, 1)


def seal_failures(trail: Trail) -> list[str]:
    with trail.engine.connect() as connection:
        return [each.message for each in trail.log.verify_seals(connection) if each.is_failure]


def test_what_retention_of_a_table_removes_is_proved(trail: Trail) -> None:
    trail.insert(trail.noise, *range(10))
    trail.insert(trail.items, 1)
    trail.close(YEAR)
    trail.log.seal(trail.engine)
    (removed,) = trail.log.retain(trail.engine)
    assert (removed.table, removed.rows) == ("public.noise", 10)
    assert seal_failures(trail) == []
    with trail.engine.begin() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        lost = connection.scalar(text("DELETE FROM activity WHERE table_name = 'items' RETURNING id"))
    assert seal_failures(trail) == [f"Activity {lost} is missing (seal 1)."]
    with trail.engine.begin() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        forge = text("UPDATE activity_seal_leaf SET removed_ids = removed_ids || CAST(:id AS bigint)")
        connection.execute(forge, {"id": lost})
    assert seal_failures(trail) == ["Of single tables 11 sealed activities were removed, and retention says 10."]
