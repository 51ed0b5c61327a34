"""stream(): each committed activity once, also what is committed late, from where the consumer acknowledged last."""

from __future__ import annotations

import datetime as dt
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError, StreamError, audit_context
from audit_core.lifecycle.stream_cursor import oldest_needed
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, create_engine, insert, text, update
from sqlalchemy.exc import DBAPIError


@pytest.fixture
def log(engine: Engine) -> Iterator[AuditLog]:
    metadata = MetaData()
    for name in ("users", "orders", "copies"):
        columns = [Column("id", Integer, primary_key=True), Column("name", String)]
        Table(name, metadata, *columns, info={"versioned": {}} if name != "copies" else {})
    log = AuditLog(metadata)
    with engine.begin() as connection:
        metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    yield log
    log.detach(engine)


def write(engine: Engine, *keys: int, table: str = "users") -> None:
    with engine.begin() as connection:
        add(connection, *keys, table=table)


def add(connection: Connection, *keys: int, table: str = "users") -> None:
    for key in keys:
        connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({key}, 'x')")


def read(log: AuditLog, engine: Engine, name: str = "c", *, acknowledge: bool = True, **options: Any) -> list[Any]:
    """Return the keys of what is there for a consumer."""
    found = []
    for batch in log.stream(engine, name, interval=0.3, **options).batches(wait=False):
        found += [activity.row_key for activity in batch]
        if not acknowledge:
            break
        batch.acknowledge()
    return found


def last_id(log: AuditLog, engine: Engine) -> int:
    with engine.connect() as connection:
        return next(state.last_id for state in log.streams(connection))


def test_activities_come_with_their_transaction_and_belong_to_no_session(log: AuditLog, engine: Engine) -> None:
    stream = log.stream(engine, "c")
    with audit_context(actor_id="ann", reason="why"):
        write(engine, 1)
    (batch,) = stream_once(stream)
    (activity,) = batch
    assert (activity.verb, activity.row_key, activity.transaction.actor_id) == ("insert", "1", "ann")
    assert activity.transaction.meta == {"reason": "why"}
    assert activity.changes == {"id": (None, 1), "name": (None, "x")}


def stream_once(stream: Any) -> list[Any]:
    found = []
    for batch in stream.batches(wait=False):
        found.append(batch)
        batch.acknowledge()
    return found


def test_what_was_acknowledged_never_comes_again_and_the_rest_does(log: AuditLog, engine: Engine) -> None:
    assert read(log, engine) == []
    write(engine, 1, 2, 3)
    assert read(log, engine, batch=2, acknowledge=False) == ["1", "2"]
    assert read(log, engine, batch=2) == ["1", "2", "3"]
    write(engine, 4)
    assert read(log, engine) == ["4"]
    assert read(log, engine) == []


def test_what_is_committed_later_with_smaller_ids_is_not_missed(log: AuditLog, engine: Engine) -> None:
    read(log, engine)
    with engine.begin() as late:
        add(late, 1)
        write(engine, 2)
        assert read(log, engine) == []
        add(late, 3)
    assert read(log, engine) == ["1", "2", "3"]


def test_what_was_certain_is_read_while_others_are_in_progress(log: AuditLog, engine: Engine) -> None:
    read(log, engine)
    write(engine, 1)
    stream = log.stream(engine, "c", interval=0.1)
    batches = stream.batches()
    assert [each.row_key for each in next(batches)] == ["1"]


def test_what_is_rolled_back_never_comes(log: AuditLog, engine: Engine) -> None:
    read(log, engine)
    with engine.connect() as connection:
        add(connection, 1)
        connection.rollback()
        write(engine, 2)
        nested = connection.begin_nested()
        add(connection, 3)
        nested.rollback()
        add(connection, 4)
        connection.commit()
    assert read(log, engine) == ["2", "4"]


def test_an_id_is_never_drawn_before_the_number_of_its_transaction(log: AuditLog, engine: Engine) -> None:
    """A reader has none otherwise, so that nobody would wait for it."""
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE activity ALTER id SET DEFAULT ("
            "0 / CASE WHEN pg_current_xact_id_if_assigned() IS NULL THEN 0 ELSE 1 END + nextval('activity_id_seq'))"
        )
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT audit_logger_record_read('public', 'users', '1', '{}')")
    write(engine, 1)
    with engine.begin() as connection, log.disable(connection):
        connection.exec_driver_sql("UPDATE users SET name = 'y'")
    with engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE users")
        connection.exec_driver_sql("TRUNCATE users")


def test_the_order_is_that_of_the_changes_of_each_record(log: AuditLog, engine: Engine) -> None:
    """The transaction with the smaller number changes the record last."""
    read(log, engine)
    write(engine, 1)
    with engine.begin() as older:
        add(older, 2)
        with engine.begin() as younger:
            younger.exec_driver_sql("UPDATE users SET name = 'first' WHERE id = 1")
        older.exec_driver_sql("UPDATE users SET name = 'second' WHERE id = 1")
    (batch,) = stream_once(log.stream(engine, "c"))
    assert [each.changed_data.get("name") for each in batch if each.row_key == "1"] == ["x", "first", "second"]


def test_acknowledged_with_the_work_in_this_database(log: AuditLog, engine: Engine) -> None:
    read(log, engine)
    write(engine, 1, 2)
    copies = log.metadata.tables["copies"]

    def copy(fails: bool) -> None:
        with engine.begin() as connection:
            for batch in log.stream(engine, "c", batch=1).batches(wait=False):
                connection.execute(insert(copies), [{"id": int(each.row_key or 0)} for each in batch])
                batch.acknowledge(connection)
                if fails:
                    raise ZeroDivisionError
                return

    with pytest.raises(ZeroDivisionError):
        copy(fails=True)
    copy(fails=False)
    copy(fails=False)
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT id FROM copies ORDER BY id")).all() == [1, 2]


def test_consumers_are_independent(log: AuditLog, engine: Engine) -> None:
    read(log, engine, "a")
    write(engine, 1)
    read(log, engine, "b")
    write(engine, 2)
    assert read(log, engine, "a") == ["1", "2"]
    assert read(log, engine, "b") == ["2"]


def test_two_consumers_of_one_name_cannot_both_acknowledge(log: AuditLog, engine: Engine) -> None:
    read(log, engine)
    write(engine, 1)
    first, second = (next(log.stream(engine, "c").batches()) for _ in range(2))
    first.acknowledge()
    with pytest.raises(StreamError, match="Let one consumer run at a time"):
        second.acknowledge()
    assert read(log, engine) == []


def test_tables_are_chosen(log: AuditLog, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    read(log, engine)
    write(engine, 1, 2)
    write(engine, 3, table="orders")
    assert read(log, engine, tables=["orders"], acknowledge=False) == ["3"]
    assert read(log, engine, tables=[log.metadata.tables["users"], "orders"]) == ["1", "2", "3"]


@pytest.mark.parametrize("span", [1, 3, 50_000])
def test_what_does_not_pass_the_filter_is_acknowledged_in_time(
    log: AuditLog, engine: Engine, monkeypatch: pytest.MonkeyPatch, span: int
) -> None:
    monkeypatch.setattr("audit_core.lifecycle.stream._SPAN", span)
    monkeypatch.setattr("audit_core.lifecycle.stream._IDLE_IDS", 5)
    read(log, engine)
    write(engine, *range(4))
    assert read(log, engine, tables=["orders"]) == []
    assert last_id(log, engine) == 0
    write(engine, 4)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT setval('activity_id_seq', 1000000)")
    write(engine, 1, table="orders")
    write(engine, 5)
    assert read(log, engine, tables=["orders"]) == ["1"]
    write(engine, *range(6, 12))
    assert read(log, engine, tables=["orders"]) == []
    assert last_id(log, engine) == 1000008


def test_where_it_starts(log: AuditLog, engine: Engine) -> None:
    write(engine, 1)
    time.sleep(0.01)
    between = dt.datetime.now(dt.timezone.utc)
    write(engine, 2, 3)
    assert read(log, engine, "now") == []
    assert read(log, engine, "all", start="beginning") == ["1", "2", "3"]
    assert read(log, engine, "since", start=between) == ["2", "3"]
    assert read(log, engine, "late", start=dt.datetime.now(dt.timezone.utc)) == []
    # It counts for a consumer that is new.
    assert read(log, engine, "now", start="beginning") == []


def test_a_start_is_found_in_a_long_trail(log: AuditLog, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO transaction (native_transaction_id, issued_at) VALUES (1, now());"
            "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,"
            " row_key, old_data, changed_data) SELECT 1, now() - interval '5000 hours' + i * interval '1 hour', 1, 0,"
            " 'public', 'users', 'insert', i::text, '{}', '{}' FROM generate_series(1, 5000) AS i"
        )
        start = connection.scalar(text("SELECT issued_at FROM activity WHERE id = 1234"))
    assert next(log.stream(engine, "c", start=start).batches())[0].id == 1234


@pytest.mark.parametrize(
    "start", ["yesterday", dt.datetime(2026, 1, 1), dt.datetime(2999, 1, 1, tzinfo=dt.timezone.utc)]
)
def test_a_start_that_is_none_is_refused(log: AuditLog, engine: Engine, start: Any) -> None:
    with pytest.raises((StreamError, HistoryError), match="start is"):
        log.stream(engine, "c", start=start)


def test_lag_is_said(log: AuditLog, engine: Engine) -> None:
    read(log, engine, "b")
    write(engine, 1, 2)
    read(log, engine, "a")
    with engine.connect() as connection:
        a, b = log.streams(connection)
        assert (a.name, a.behind, a.waiting_since, a.acknowledged_at, a.problem) == ("a", 0, None, None, None)
        assert (b.name, b.behind, b.problem) == ("b", 2, None)
        assert b.waiting_since is not None
        assert log.check(connection) == []


def test_a_consumer_that_does_not_come_is_a_problem(log: AuditLog, engine: Engine) -> None:
    read(log, engine)
    write(engine, 1)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SET LOCAL audit_logger.maintenance = on; UPDATE activity SET issued_at = now() - interval '2 days';"
            "UPDATE activity_stream SET created_at = now() - interval '25 hours'"
        )
        (problem,) = log.check(connection)
        assert problem.message.startswith("Stream 'c' has not acknowledged what was recorded at 2")
    read(log, engine)
    with engine.connect() as connection:
        assert log.check(connection) == []


def test_retention_does_not_pass_a_consumer(log: AuditLog, engine: Engine) -> None:
    with engine.connect() as connection:
        assert oldest_needed(connection, "public") is None
    read(log, engine, "a")
    write(engine, 1, 2)
    read(log, engine, "b")
    with engine.begin() as connection:
        assert oldest_needed(connection, "public") == 1
        log.remove_stream(connection, "a")
        assert oldest_needed(connection, "public") == 3


def test_a_stream_that_is_gone_says_so(log: AuditLog, engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(StreamError, match="There is no stream 'c'"):
        log.remove_stream(connection, "c")
    stream = log.stream(engine, "c")
    with engine.begin() as connection:
        log.remove_stream(connection, "c")
    with pytest.raises(StreamError, match="somebody removed it"):
        next(stream.batches())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE activity_stream SET last_id = 0",
        "DELETE FROM activity_stream",
        "TRUNCATE activity_stream",
        "SELECT audit_logger_acknowledge('c', 5, 4)",
    ],
)
def test_how_far_it_is_cannot_be_changed_by_mistake(log: AuditLog, engine: Engine, statement: str) -> None:
    read(log, engine)
    with engine.begin() as connection, pytest.raises(DBAPIError, match=r"an audit trail|cannot go back"):
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_in_another_database_it_goes_on_only_when_told(log: AuditLog, engine: Engine, part: int) -> None:
    """Of another cluster, on another timeline after a restore, a copy, or a table that was restored."""
    read(log, engine)
    write(engine, 1)
    with engine.begin() as connection:
        epoch = connection.scalar(text("SELECT epoch FROM activity_stream")).split("/")
        epoch[part] = "1"
        connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = on")
        connection.execute(text("UPDATE activity_stream SET epoch = :epoch"), {"epoch": "/".join(epoch)})
    with engine.connect() as connection:
        (problem,) = log.check(connection)
    with pytest.raises(StreamError, match="was read in another database") as refused:
        log.stream(engine, "c")
    assert "go_on=True" in str(refused.value)
    assert "go_on=True" in problem.message
    assert read(log, engine, go_on=True) == ["1"]
    assert read(log, engine) == []


def test_ids_that_sessions_keep_for_later_are_refused(log: AuditLog, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER SEQUENCE activity_id_seq CACHE 20")
    with pytest.raises(StreamError) as refused:
        log.stream(engine, "c")
    assert 'Run: ALTER SEQUENCE "public"."activity_id_seq" CACHE 1' in str(refused.value)


def test_a_consumer_needs_no_other_rights(log: AuditLog, engine: Engine) -> None:
    read(log, engine)
    write(engine, 1)
    role = f"consumer_{engine.url.database}"
    with engine.begin() as connection:
        for statement in (
            f"CREATE ROLE {role} LOGIN PASSWORD 'secret'",
            f"GRANT SELECT ON activity, transaction, activity_stream TO {role}",
            f"GRANT EXECUTE ON FUNCTION audit_logger_acknowledge(text, bigint, bigint) TO {role}",
        ):
            connection.exec_driver_sql(statement)
    consumer = create_engine(engine.url.set(username=role, password="secret"))
    assert read(log, consumer) == ["1"]
    consumer.dispose()
    with engine.begin() as connection:
        assert log.check(connection) == []
        connection.exec_driver_sql(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_it_waits_for_what_comes(log: AuditLog, engine: Engine) -> None:
    stream = log.stream(engine, "c", interval=0.05)
    writer = threading.Timer(0.3, write, (engine, 1))
    writer.start()
    (activity,) = next(iter(stream))
    assert activity.row_key == "1"
    writer.join()


def test_a_commit_wakes_it(log: AuditLog, engine: Engine) -> None:
    with engine.begin() as connection:
        log.wake_streams(connection)
        assert log.check(connection) == []
    stream = log.stream(engine, "c", interval=30, wake_up=True)
    writer = threading.Timer(0.3, write, (engine, 1))
    writer.start()
    began = time.monotonic()
    (activity,) = next(iter(stream))
    assert activity.row_key == "1"
    assert time.monotonic() - began < 20
    with engine.begin() as connection:
        log.wake_streams(connection, on=False)
        log.wake_streams(connection, on=False)
        log.wake_streams(connection)
        log.uninstall(connection)


@pytest.mark.parametrize(
    "trigger",
    [
        "BEFORE INSERT ON transaction FOR EACH ROW",
        "BEFORE INSERT ON activity FOR EACH STATEMENT",
    ],
)
def test_another_trigger_that_wakes_is_not_taken_for_ours(log: AuditLog, engine: Engine, trigger: str) -> None:
    """One for each row that returns NULL would keep the row out."""
    with engine.begin() as connection:
        function = "audit_logger_notify()"
        connection.exec_driver_sql(f"CREATE TRIGGER audit_logger_notify {trigger} EXECUTE FUNCTION {function}")
        assert ["is not of the audit trail" in problem.message for problem in log.check(connection)] == [True]


PAGE = (Path(__file__).parents[2] / "docs/streaming.md").read_text()
BLOCKS = dict(re.findall(r"<!-- python: (.+?) -->\n```python\n(.*?)```", PAGE, flags=re.DOTALL))


def test_the_page_on_streaming_is_right(log: AuditLog, engine: Engine) -> None:
    metadata = MetaData()
    counters = Table("counters", metadata, Column("table", String), Column("n", Integer))
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(insert(counters).values(table="users", n=0))
    names: dict[str, Any] = {"audit_log": log, "update": update, "counters": counters}
    for block in BLOCKS.values():
        exec(block.replace('["articles"]', '["users"]'), names)
    read(log, engine, "search")
    write(engine, 1, 2)
    for _ in range(2):
        names["count"](engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT n FROM counters")) == 2

    seen: list[Any] = []

    def index(*activity: Any) -> None:
        seen.append(activity)
        if len(seen) == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        names["feed"](engine, index)
    assert seen == [("1", {"id": 1, "name": "x"}, None), ("2", {"id": 2, "name": "x"}, None)]
    assert read(log, engine, "search") == ["1", "2"]
