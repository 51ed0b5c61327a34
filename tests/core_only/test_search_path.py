"""Whoever reads the trail runs no function and no operator of others, whatever the search path leads to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError, ProtectionWarning, audit_context
from sqlalchemy import (
    URL,
    Column,
    Engine,
    Enum,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import DOMAIN, HSTORE
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.contract.attack import dismiss, surround
from tests.core_only.shop import now

pytestmark = pytest.mark.each_server

Times = tuple[Engine, dict[str, dt.datetime]]

LOG = AuditLog(MetaData())
TABLES: dict[str, tuple[Any, Any]] = {
    "numbers": (Integer, 1),
    "words": (String(20), "a"),
    "moods": (Enum("sad", "happy", name="mood"), "sad"),
    "codes": (DOMAIN("code", String(20), check="value <> ''"), "a"),
}
for name, (type_, _) in TABLES.items():
    Table(
        name,
        LOG.metadata,
        Column("id", type_, primary_key=True),
        Column("mood", TABLES["moods"][0]),
        Column("note", String),
        Column("parent", Integer),
        Column("pairs", HSTORE) if name == "numbers" else Column("code", TABLES["codes"][0]),
        info={"versioned": {"mask": ["note"]} if name == "words" else {}},
    )


@pytest.fixture(scope="module")
def times(server: URL, new_database: Callable[..., AbstractContextManager[URL]]) -> Iterator[Times]:
    """A history of each table, and then functions of others everywhere."""
    with new_database() as url:
        engine = create_engine(url)
        LOG.attach(engine)
        yield engine, prepared(engine)
        LOG.detach(engine)
        engine.dispose()
    dismiss(server)


def prepared(engine: Engine) -> dict[str, dt.datetime]:
    """Write a history and make the functions; return a time at which the row of each table was there."""
    then: dict[str, dt.datetime] = {}
    with engine.begin() as connection:
        if connection.scalar(text("SELECT count(*) FROM pg_available_extensions WHERE name = 'hstore'")):
            connection.exec_driver_sql("CREATE EXTENSION hstore")
        else:  # the wheel of 16 comes without it
            LOG.metadata.tables["numbers"].c.pairs.type = String()
        LOG.metadata.create_all(connection)
        LOG.install(connection)
    for name, (_, key) in TABLES.items():
        table = LOG.metadata.tables[name]
        with audit_context(actor_id="ann", job="history"):
            with engine.begin() as connection:
                connection.execute(insert(table).values(id=key, note="x"))
            with engine.begin() as connection:
                connection.execute(update(table).values(mood="happy", note="y"))
                then[name] = now(connection)
            with engine.begin() as connection:
                connection.execute(delete(table))
    with engine.begin() as connection:
        surround(connection)
    return then


@pytest.mark.parametrize("expression", ["'a'::text = 'a'::varchar", "count(*) FROM unnest('{a}'::varchar[])"])
def test_the_attack_works_where_nothing_is_done_about_it(times: Times, expression: str) -> None:
    with times[0].connect() as connection, pytest.raises(DBAPIError, match="attacked"):
        connection.exec_driver_sql(f"SELECT {expression}")


def queries(name: str, key: Any, then: dt.datetime) -> list[Any]:
    table, activity = LOG.metadata.tables[name], LOG.activity_cls
    return [
        LOG.history(table, key),
        LOG.history(table, key, related=True),
        LOG.activities(actor="ann", table=table, verb=["insert", "update"], column="mood", meta={"job": "history"}),
        LOG.activities(table=name, verb="delete", since=then, actor=None),
        LOG.activities(table="public.gone", until=then),
        select(LOG.as_of(table, then)),
        LOG.stats(["table", "actor", "day"], since=then),
        select(activity).where(activity.verb == "insert", activity.row_key == "1", activity.data["id"].is_not(None)),
        select(LOG.transaction_cls).where(LOG.transaction_cls.db_user == "ann"),
    ]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_no_query_runs_what_others_made(times: Times, driver: str, name: str) -> None:
    engine, then = times
    # On its way to the connection, psycopg looks for hstore with a query of its own.
    reader = create_engine(engine.url.set(drivername=f"postgresql+{driver}"), use_native_hstore=False)
    with Session(reader) as session:
        for number, query in enumerate(queries(name, TABLES[name][1], then[name])):
            rows = session.execute(query).all()
            assert rows or number in (3, 4, 7, 8)
    reader.dispose()


@pytest.mark.parametrize("name", TABLES)
def test_nothing_that_reads_rows_runs_what_others_made(times: Times, name: str) -> None:
    engine, then = times
    table, key = LOG.metadata.tables[name], TABLES[name][1]
    with engine.connect() as connection:
        assert LOG.get_as_of(connection, table, key, then[name])["mood"] == "happy"
        assert LOG.get_as_of(connection, table, key, now(connection)) is None
        assert "mood" in LOG.diff(connection, table, key, then[name], now(connection))


@pytest.mark.parametrize("name", ["numbers", "words"])
def test_taking_changes_back_runs_what_others_made_no_more_than_a_write_does(times: Times, name: str) -> None:
    engine, then = times
    table, key = LOG.metadata.tables[name], TABLES[name][1]
    with engine.connect() as connection:
        # A write runs them where its triggers do.
        connection.exec_driver_sql("DROP CAST (mood AS json); DROP CAST (mood AS jsonb)")
        last = connection.scalar(select(LOG.history(table, key).limit(1).subquery().c.transaction_id))
        plan = LOG.plan_undo(connection, last)
        assert [step.action for step in plan.steps] == ["insert"]
        undone = plan.apply()
        assert undone is not None
        with pytest.raises(HistoryError, match="was undone by transaction"):
            LOG.plan_undo(connection, last)
        assert LOG.plan_undo(connection, undone.id).apply() is not None
        assert LOG.restore(connection, table, key, then[name]) is not None


def test_neither_do_check_and_install(times: Times) -> None:
    engine, _ = times
    with engine.connect() as connection:
        with pytest.warns(ProtectionWarning, match="audit_test_attacker may create functions in schema 'public'"):
            LOG.install(connection)
        assert [problem.message.partition(" may ")[0] for problem in LOG.check(connection)] == ["audit_test_attacker"]
        LOG.metadata.tables["words"].info["versioned"] = {}
        with pytest.warns(ProtectionWarning):
            LOG.install(connection)
        LOG.uninstall(connection)
        with pytest.warns(ProtectionWarning):
            LOG.install(connection)
        LOG.metadata.tables["words"].info["versioned"] = {"mask": ["note"]}
