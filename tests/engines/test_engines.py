"""Engines that others made read the archive, and answer as PostgreSQL does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_core.archive.catalog import Archive, opened_archive
from audit_core.audit_log import scope_of
from sqlalchemy import URL, create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.archive.trail import Item, Trail

PER_TABLE_AND_MONTH = """
    SELECT table_name, date_format(issued_at, 'yyyy-MM') AS month, count(*) AS changes FROM activity
    WHERE verb IN ('insert', 'update', 'delete') GROUP BY 1, 2 ORDER BY 1, 2
"""
WHO = """
    SELECT t.actor_id, count(*) AS changes FROM activity AS a JOIN transaction AS t ON t.id = a.transaction_id
    WHERE a.verb IN ('insert', 'update', 'delete') GROUP BY 1 ORDER BY 2 DESC, 1
"""
HISTORY = """
    SELECT id, verb, old_data, changed_data FROM activity WHERE table_name = 'items' AND row_key = '7' ORDER BY id DESC
"""

DIGITS = "0.12345678901234567890"
VERBS = ("insert", "update", "delete")


class Answers:
    """The archive, and what PostgreSQL answered before its partitions were dropped."""

    def __init__(self, archive: Archive, per_table_and_month: Any, who: Any, history: Any) -> None:
        self.archive = archive
        self.per_table_and_month = per_table_and_month
        self.who = who
        self.history = history

    @property
    def locations(self) -> dict[str, str]:
        return {
            "activity": self.archive.activity.metadata_location,
            "transaction": self.archive.transaction.metadata_location,
        }


@pytest.fixture(scope="module")
def answers(module_database: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Answers]:
    engine = create_engine(module_database, poolclass=NullPool)
    trail = Trail(engine, Path(tmp_path_factory.mktemp("archive")))
    for actor, months in (("ann", 30), ("ben", 29), ("ann", 24)):
        trail.add(*(Item(id=each, name=f"{actor} {each}") for each in range(months, months * 3)), actor=actor)
        with Session(engine) as session, session.begin():
            session.execute(text(f"UPDATE items SET price = {DIGITS} WHERE id = 7 OR id % 5 = 0"))
            session.execute(text("DELETE FROM items WHERE id <> 7"))
            session.execute(text("INSERT INTO items (id, name) VALUES (7, 'seven') ON CONFLICT DO NOTHING"))
        trail.close(dt.timedelta(days=40))
    with engine.connect() as connection:
        connection.execute(text("SET TimeZone = 'UTC'"))
        found = [
            [tuple(row) for row in connection.execute(text(query))]
            for query in (PER_TABLE_AND_MONTH.replace("date_format", "to_char").replace("yyyy", "YYYY"), WHO, HISTORY)
        ]
        texts = connection.execute(text(HISTORY.replace("_data", "_data\\:\\:text"))).all()
    found[2] = [tuple(row) for row in texts]
    trail.archive("1d", drop=True)
    with opened_archive(scope_of(trail.log), engine, None) as archive:
        yield Answers(archive, *found)
    trail.log.detach(engine)
    engine.dispose()


def test_postgresql_had_something_to_say(answers: Answers) -> None:
    assert len(answers.per_table_and_month) >= 3
    assert {actor for actor, _ in answers.who} == {"ann", "ben", None}
    assert len(answers.history) >= 2
    assert any(DIGITS in changed for _, _, _, changed in answers.history)


@pytest.mark.filterwarnings("ignore:PySpark does:FutureWarning")
def test_sail(answers: Answers) -> None:
    """A Spark Connect server from PyPI, with any client of Spark."""
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    try:
        _, port = server.listening_address
        spark = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        for name in ("activity", "transaction"):
            location = getattr(answers.archive, name).location()
            spark.read.format("iceberg").load(location).createOrReplaceTempView(name)
        for query, wanted in (
            (PER_TABLE_AND_MONTH, answers.per_table_and_month),
            (WHO, answers.who),
            (HISTORY, answers.history),
        ):
            assert [tuple(row) for row in spark.sql(query).collect()] == wanted
        spark.stop()
    finally:
        server.stop()


def test_daft(answers: Answers) -> None:
    import daft
    from daft import col

    activity, transaction = map(daft.read_iceberg, (answers.archive.activity, answers.archive.transaction))
    changes = activity.where(col("verb").is_in(list(VERBS)))
    month = col("issued_at").strftime("%Y-%m").alias("month")
    per_month = changes.with_column("month", month).groupby("table_name", "month")
    per_month = per_month.agg(col("id").count().alias("changes"))
    assert rows(per_month.sort(["table_name", "month"])) == answers.per_table_and_month
    joined = changes.join(transaction, left_on="transaction_id", right_on="id")
    who = joined.groupby("actor_id").agg(col("verb").count().alias("changes"))
    assert rows(who.sort(["changes", "actor_id"], desc=[True, False])) == answers.who
    history = activity.where((col("table_name") == "items") & (col("row_key") == "7")).sort("id", desc=True)
    assert rows(history.select("id", "verb", "old_data", "changed_data")) == answers.history


def rows(frame: Any) -> list[tuple[Any, ...]]:
    found = frame.to_pydict()
    return list(zip(*found.values(), strict=True))


def test_polars(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    import polars as pl

    # It warns that a package of its own would plan faster.
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")

    activity, transaction = (pl.scan_iceberg(answers.locations[name]) for name in ("activity", "transaction"))
    changes = activity.filter(pl.col("verb").is_in(VERBS))
    per_month = (
        changes.group_by("table_name", pl.col("issued_at").dt.strftime("%Y-%m").alias("month"))
        .agg(pl.len().alias("changes"))
        .sort("table_name", "month")
    )
    assert per_month.collect().rows() == answers.per_table_and_month
    who = (
        changes.join(transaction, left_on="transaction_id", right_on="id")
        .group_by("actor_id")
        .agg(pl.len().alias("changes"))
        .sort("changes", "actor_id", descending=[True, False])
    )
    assert who.collect().rows() == answers.who
    history = activity.filter((pl.col("table_name") == "items") & (pl.col("row_key") == "7"))
    history = history.sort("id", descending=True).select("id", "verb", "old_data", "changed_data")
    assert history.collect().rows() == answers.history
