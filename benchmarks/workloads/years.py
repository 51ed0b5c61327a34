"""A trail of many partitions: what it costs to read it, to close the open one, and to remove the oldest."""

from __future__ import annotations

import datetime as dt
from statistics import median
from time import perf_counter
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, insert, select, text
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateSchema, DropSchema

from benchmarks.subjects.trail import fill_columns
from benchmarks.work import Figures, Work, stopwatch, unrecorded

SCHEMA = "years"
REPETITIONS = 15


def partitions(work: Work, *, size: int, months: int) -> Figures:
    """Fill ``months`` partitions with ``size`` activities each, read, and remove the first one."""
    # The environments of the peers do not have it.
    from audit_core import AuditLog, audit_context

    metadata = MetaData(schema=SCHEMA)
    table = Table(
        "record",
        metadata,
        Column("id", BigInteger, primary_key=True),
        Column("name", Text),
        info={"versioned": {}},
    )
    log = AuditLog(metadata, schema=SCHEMA)
    engine = work.admin
    with engine.connect() as connection:
        connection.execute(CreateSchema(SCHEMA))
        metadata.create_all(connection)
        log.install(connection)
    splits = []
    for month in range(months):
        _fill(work, log, size, month)
        with engine.connect() as connection, audit_context(actor_id="1"):
            connection.execute(insert(table), {"id": month, "name": "of the month"})
        if month < months - 1:
            with stopwatch() as watch:
                log.split(engine, at_once=True)
            splits.append(watch.seconds)
    with engine.connect() as connection:
        connection.execute(text(f"VACUUM (ANALYZE) {SCHEMA}.activity, {SCHEMA}.transaction"))
    activity = log.activity_cls
    questions: dict[str, Any] = {
        "page": log.activities().limit(51),
        "activity": select(activity).where(activity.id == 1),
        "transaction": log.activities(transaction=2),
        "history": log.history(table, 3).limit(20),
        "week": log.activities(since=dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=7)).limit(51),
    }
    figures: Figures = {"split": median(splits)}
    with Session(engine) as session:
        for name, query in questions.items():
            figures[name] = _median_time(session, query)
    with engine.connect() as connection, unrecorded(connection):
        connection.execute(
            text(
                f"UPDATE {SCHEMA}.activity_partition SET last_issued_at = now() - interval '3 years' "
                "WHERE name = 'activity_p0001'"
            )
        )
    with stopwatch() as watch:
        (removed,) = log.retain(engine, "2y")
    figures["retain"] = watch.seconds
    if removed.rows < size:
        raise RuntimeError(f"{removed.rows} activities were removed instead of {size}")
    with engine.connect() as connection:
        connection.execute(DropSchema(SCHEMA, cascade=True))
    return figures


def _fill(work: Work, log: Any, size: int, month: int) -> None:
    columns, values = fill_columns(
        log.activity_cls,
        transaction_id=f"{month * size} + g",
        schema=f"'{SCHEMA}'",
        table_name="'record'",
        relid=f"'{SCHEMA}.record'::regclass",
        row_key="(g % 100)::text",
        old_data="jsonb_build_object('id', g % 100, 'name', 'old')",
        changed_data="jsonb_build_object('name', 'new ' || g)",
    )
    transaction_columns, transaction_values = fill_columns(log.transaction_cls)
    with work.admin.connect() as connection, unrecorded(connection):
        connection.execute(
            text(
                f"INSERT INTO {SCHEMA}.transaction ({transaction_columns}) SELECT {transaction_values} "
                f"FROM generate_series(1, {size}) AS g"
            )
        )
        connection.execute(
            text(f"INSERT INTO {SCHEMA}.activity ({columns}) SELECT {values} FROM generate_series(1, {size}) AS g")
        )


def _median_time(session: Session, query: Any) -> float:
    times = []
    for _ in range(REPETITIONS):
        start = perf_counter()
        session.execute(query).all()
        times.append(perf_counter() - start)
    return median(times)
