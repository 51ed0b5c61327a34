"""A table of many columns, of which an update changes one: what is stored of it, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Numeric, Table, Text, select, text, update
from sqlalchemy.schema import CreateSchema, DropSchema

from benchmarks.work import Figures, Work, stopwatch

SCHEMA = "wide rows"
COLUMNS = 60


def updates(work: Work, *, store: str, size: int, many: int) -> Figures:
    """Change one integer of ``size`` rows one by one, and then of ``many`` rows at once, and read them as they are."""
    with _recorded(work, store, many) as (connection, table, log):
        change = update(table).values(column_0=table.c.column_0 + 1)
        figures: Figures = {}
        with work.engine().connect() as writer:
            with stopwatch() as watch:
                for number in range(1, size + 1):
                    writer.execute(change.where(table.c.id == number))
                writer.commit()
            figures["single"] = watch.seconds
            with stopwatch() as watch:
                writer.execute(change)
                writer.commit()
            figures["bulk"] = watch.seconds
        now = connection.scalar(text("SELECT clock_timestamp()"))
        with stopwatch() as watch:
            connection.execute(select(log.as_of(table, now))).all()
        figures["as_of"] = watch.seconds
        return figures


def growth(work: Work, *, store: str, size: int, times: int) -> Figures:
    """Change one integer of ``size`` rows some times, and return what an activity takes in the table."""
    with _recorded(work, store, size) as (connection, table, _):
        stored = text(f'SELECT sum(pg_column_size(a.*)) FROM "{SCHEMA}".activity AS a')
        before = connection.scalar(stored)
        for _ in range(times):
            with work.engine().begin() as writer:
                writer.execute(update(table).values(column_0=table.c.column_0 + 1))
        return {"": float(connection.scalar(stored) - before) / (size * times)}


@contextmanager
def _recorded(work: Work, store: str, rows: int) -> Iterator[tuple[Connection, Table, Any]]:
    """Make a table whose option ``store`` is given, and fill it."""
    # The environments of the peers do not have it.
    from audit_core import AuditLog

    metadata = MetaData(schema=SCHEMA)
    kinds = (Integer, "g % 1000"), (Text, "'A sentence of row ' || g"), (Numeric, "g / 100.0")
    chosen = [kinds[number % 3] for number in range(COLUMNS - 1)]
    columns = [Column(f"column_{number}", type_) for number, (type_, _) in enumerate(chosen)]
    table = Table(
        "record", metadata, Column("id", BigInteger, primary_key=True), *columns, info={"versioned": {"store": store}}
    )
    log = AuditLog(metadata, schema=SCHEMA)
    values = ", ".join(value for _, value in chosen)
    with work.admin.connect() as connection:
        connection.execute(CreateSchema(SCHEMA))
        metadata.create_all(connection)
        log.install(connection)
        connection.execute(
            text(f'INSERT INTO "{SCHEMA}".record SELECT g, {values} FROM generate_series(1, {rows}) AS g')
        )
        connection.execute(text(f'VACUUM (ANALYZE) "{SCHEMA}".record, "{SCHEMA}".activity'))
        yield connection, table, log
        connection.execute(DropSchema(SCHEMA, cascade=True))
