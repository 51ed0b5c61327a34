"""A database with its trail is dumped and restored, as docs/backup.md says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from tests.backup.conftest import Database, install, run
from tests.backup.shop import Shop

New = Callable[..., Database]

# Of which version the server is that is dumped, pg_dump, and the server that takes it.
VERSIONS = [("18", "18", "18"), ("15", "15", "15"), ("15", "18", "18"), ("15", "15", "18")]


@pytest.fixture(params=[None, "audit"], ids=["public", "audit"])
def shop(request: pytest.FixtureRequest) -> Shop:
    return Shop(request.param)


def written(new: New, version: str, shop: Shop) -> Database:
    database = new(version, shop)
    with database.engine.begin() as connection:
        install(connection, shop)
    return database


def assert_goes_on(database: Database) -> None:
    """What is written now gets new ids, and is recorded once."""
    log, before = database.shop.log, database.count()
    with database.engine.begin() as connection:
        assert log.check(connection) == []
        log.install(connection)
        newest = connection.execute(log.activities().limit(1)).one().id
        connection.execute(text("INSERT INTO customers VALUES (1000, 'Zoe')"))
        connection.execute(text("UPDATE events SET id = 1000 WHERE id = 100"))
        found = connection.execute(log.activities().limit(2)).all()
    assert [row.verb for row in found] == ["update", "insert"]
    assert found[1].id > newest
    assert database.count() == before + 2


@pytest.mark.parametrize(("source", "tool", "target"), VERSIONS)
def test_a_dump_of_everything(new: New, shop: Shop, tmp_path: Path, source: str, tool: str, target: str) -> None:
    old = written(new, source, shop)
    times = old.write()
    run(tool, "pg_dump", "--format=custom", f"--file={tmp_path / 'dump'}", old.url)
    restored = new(target, shop)
    run(target, "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={restored.url}", tmp_path / "dump")
    assert restored.rows() == old.rows()
    assert restored.seen(times) == old.seen(times)
    assert_goes_on(restored)


@pytest.mark.parametrize(("source", "tool", "target"), VERSIONS)
def test_data_alone_into_an_installed_database(
    new: New, shop: Shop, tmp_path: Path, source: str, tool: str, target: str
) -> None:
    old = written(new, source, shop)
    times = old.write()
    run(tool, "pg_dump", "--data-only", "--format=custom", f"--file={tmp_path / 'dump'}", old.url)
    restored = written(new, target, shop)
    restore = ("--data-only", "--disable-triggers", "--single-transaction", f"--dbname={restored.url}")
    run(target, "pg_restore", *restore, tmp_path / "dump")
    assert restored.rows() == old.rows()
    assert restored.seen(times) == old.seen(times)
    assert_goes_on(restored)
    before = restored.count()
    # A second time it would say everything twice.
    assert "duplicate key" in run(target, "pg_restore", *restore, tmp_path / "dump", fails=True)
    assert restored.count() == before


def test_a_trail_is_not_loaded_over_another_one(new: New, shop: Shop, tmp_path: Path) -> None:
    old, other = written(new, "18", shop), written(new, "18", shop)
    for database in (old, other):
        database.write()
    names = [f"--table={shop.log.schema}.{name}" for name in ("activity*", "transaction")]
    run("18", "pg_dump", "--data-only", "--format=custom", f"--file={tmp_path / 'dump'}", *names, old.url)
    before = other.count()
    restore = ("--data-only", "--disable-triggers", "--single-transaction", f"--dbname={other.url}")
    assert "duplicate key" in run("18", "pg_restore", *restore, tmp_path / "dump", fails=True)
    assert other.count() == before


def test_a_plain_script_with_insert_statements(new: New, shop: Shop, tmp_path: Path) -> None:
    old = written(new, "18", shop)
    times = old.write()
    script = tmp_path / "dump.sql"
    run("18", "pg_dump", "--inserts", "--no-owner", f"--file={script}", old.url)
    restored = new("18", shop)
    run("18", "psql", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={script}", restored.url)
    assert restored.seen(times) == old.seen(times)
    assert_goes_on(restored)


def test_rows_of_partitions_that_were_truncated_since_have_a_note(new: New, shop: Shop, tmp_path: Path) -> None:
    """Their partitions had other numbers when they were recorded."""
    old = written(new, "18", shop)
    old.write()
    run("18", "pg_dump", "--format=custom", f"--file={tmp_path / 'dump'}", old.url)
    restored = new("18", shop)
    run("18", "pg_restore", f"--dbname={restored.url}", tmp_path / "dump")
    with restored.engine.begin() as connection:
        connection.execute(text("TRUNCATE events_1"))
        connection.execute(text("INSERT INTO events VALUES (200, 1)"))
    with restored.engine.connect() as connection:
        rows = shop.log.as_of(shop.events, connection.scalar(select(func.clock_timestamp())))
        notes = {row.id: row.audit_notes for row in connection.execute(select(rows))}
    assert notes.pop(200) == []
    assert notes
    assert all("a partition of its table was truncated since" in said for (said,) in notes.values())
