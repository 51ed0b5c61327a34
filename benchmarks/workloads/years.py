"""A trail of many partitions: what it costs to write, read and split it, and to remove or archive the oldest."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, MetaData, Table, Text, insert, select, text
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateSchema, DropSchema

from benchmarks.subjects.trail import fill_columns
from benchmarks.work import Figures, Work, stopwatch, unrecorded

if TYPE_CHECKING:
    # The environments of the peers do not have it.
    from audit_core import AuditLog

REPETITIONS = 15


@dataclass
class Trail:
    """A table, and a trail of its own, in a schema of their own."""

    work: Work
    schema: str
    table: Table
    log: AuditLog

    def fill(self, size: int, month: int) -> None:
        """Write ``size`` activities of 100 records, each in a transaction of its own."""
        columns, values = fill_columns(
            self.log.activity_cls,
            transaction_id=f"{month * size} + g",
            schema=f"'{self.schema}'",
            table_name="'record'",
            relid=f"'{self.schema}.record'::regclass",
            row_key="(g % 100)::text",
            old_data="jsonb_build_object('id', g % 100, 'name', 'old')",
            changed_data="jsonb_build_object('name', 'new ' || g)",
        )
        transaction_columns, transaction_values = fill_columns(self.log.transaction_cls)
        with self.work.admin.connect() as connection, unrecorded(connection):
            connection.execute(
                text(
                    f"INSERT INTO {self.schema}.transaction ({transaction_columns}) SELECT {transaction_values} "
                    f"FROM generate_series(1, {size}) AS g"
                )
            )
            connection.execute(
                text(
                    f"INSERT INTO {self.schema}.activity ({columns}) SELECT {values} "
                    f"FROM generate_series(1, {size}) AS g"
                )
            )

    def insert(self, first: int, number: int) -> float:
        """Return the seconds that so many statements of one row take in one transaction."""
        from audit_core import audit_context

        with self.work.engine().connect() as connection, audit_context(actor_id="1"):
            connection.execute(insert(self.table), {"id": first, "name": "the first one sends the context"})
            start = perf_counter()
            for id_ in range(first + 1, first + 1 + number):
                connection.execute(insert(self.table), {"id": id_, "name": "one of many"})
            taken = perf_counter() - start
            connection.commit()
        return taken

    def age(self, *partitions: str) -> None:
        """Let closed partitions be three years old."""
        with self.work.admin.connect() as connection, unrecorded(connection):
            connection.execute(
                text(
                    f"UPDATE {self.schema}.activity_partition SET last_issued_at = now() - interval '3 years' "
                    "WHERE name = ANY (:names)"
                ),
                {"names": list(partitions)},
            )

    def vacuum(self) -> None:
        self.work.vacuum(f"{self.schema}.activity", f"{self.schema}.transaction")


@contextmanager
def trail(work: Work, schema: str) -> Iterator[Trail]:
    """Make one for the length of a block."""
    from audit_core import AuditLog

    metadata = MetaData(schema=schema)
    columns = Column("id", BigInteger, primary_key=True), Column("name", Text)
    table = Table("record", metadata, *columns, info={"versioned": {}})
    log = AuditLog(metadata, schema=schema)
    with work.admin.connect() as connection:
        connection.execute(CreateSchema(schema))
        metadata.create_all(connection)
        log.install(connection)
    yield Trail(work, schema, table, log)
    with work.admin.connect() as connection:
        connection.execute(DropSchema(schema, cascade=True))


def partitions(work: Work, *, size: int, months: int) -> Figures:
    """Fill ``months`` partitions with ``size`` activities each, write, read, and remove the first one."""
    with trail(work, "years") as many, trail(work, "month") as one:
        splits = []
        for month in range(months):
            many.fill(size, month)
            many.insert(month, 0)
            if month < months - 1:
                with stopwatch() as watch:
                    many.log.split(work.admin, at_once=True)
                splits.append(watch.seconds)
        one.fill(size, 0)
        many.vacuum()
        one.vacuum()
        figures: Figures = {"split": median(splits), **_writes(one, many, months, size // 10), **_reads(work, many)}
        many.age("activity_p0001")
        with stopwatch() as watch:
            (removed,) = many.log.retain(work.admin, "2y")
        figures["retain"] = watch.seconds
        if removed.rows < size:
            raise RuntimeError(f"{removed.rows} activities were removed instead of {size}")
    return figures


def archive(work: Work, *, size: int) -> Figures:
    """Archive three partitions of ``size`` activities, drop them, and ask for one record's history."""
    with trail(work, "archived") as years, tempfile.TemporaryDirectory(prefix="audit-archive-") as folder:
        for month in range(3):
            years.fill(size, month)
            years.insert(month, 0)
            years.log.split(work.admin, at_once=True)
        years.vacuum()
        years.age("activity_p0001", "activity_p0002", "activity_p0003")
        with stopwatch() as watch:
            years.log.archive(work.admin, Path(folder).as_uri(), older_than="2y", drop=True)
        figures: Figures = {"archive": watch.seconds}
        with stopwatch() as watch, years.log.archived(work.admin) as both:
            found = len(both.history(years.table, 3))
        figures["history"] = watch.seconds
        if found < 3 * size // 100:
            raise RuntimeError(f"{found} changes of a record instead of {3 * size // 100}")
    return figures


def _writes(one: Trail, many: Trail, first: int, number: int) -> Figures:
    times: dict[str, list[float]] = {"insert_one": [], "insert_many": []}
    for repetition in range(REPETITIONS):
        id_ = first + repetition * (number + 1)
        for name, place in (("insert_one", one), ("insert_many", many)):
            times[name].append(place.insert(id_, number) / number)
    return {name: median(each) for name, each in times.items()}


def _reads(work: Work, many: Trail) -> Figures:
    log = many.log
    activity = log.activity_cls
    questions: dict[str, Any] = {
        "page": log.activities().limit(51),
        "activity": select(activity).where(activity.id == 1),
        "transaction": log.activities(transaction=2),
        "history": log.history(many.table, 3).limit(20),
        "week": log.activities(since=dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=7)).limit(51),
    }
    with Session(work.admin) as session:
        return {name: _median_time(session, query) for name, query in questions.items()}


def _median_time(session: Session, query: Any) -> float:
    times = []
    for _ in range(REPETITIONS):
        start = perf_counter()
        session.execute(query).all()
        times.append(perf_counter() - start)
    return median(times)
