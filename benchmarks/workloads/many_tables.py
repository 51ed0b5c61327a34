"""What a database of many tables costs at installation, at a check and at each autogenerate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Column, Connection, DateTime, Engine, ForeignKey, Integer, MetaData, Numeric, String, Table
from sqlalchemy.schema import CreateSchema, DropSchema

from benchmarks.work import Figures, Work, stopwatch

SCHEMA = "many tables"
#: In a transaction: each table takes some locks.
TOGETHER = 50


def install(work: Work, *, size: int) -> Figures:
    """Install the trail of ``size`` empty tables, check it, and compare models and database."""
    # The environments of the peers have neither.
    import audit_alembic
    from audit_core import AuditLog

    audit_alembic.register()
    audited, bare = _tables(size), _tables(size)
    log = AuditLog(audited, schema=SCHEMA)
    with _created(work.admin, audited):
        figures: Figures = {}
        for name, call in (
            ("install", log.install),
            ("check", lambda connection: _expect_none(log.check(connection))),
            ("autogenerate", lambda connection: _expect_none(_compared(connection, audited))),
            ("autogenerate_alone", lambda connection: _expect_none(_compared(connection, bare))),
        ):
            figures[name] = _seconds(work.engine(), call)
        return figures


def _tables(size: int) -> MetaData:
    metadata = MetaData(schema=SCHEMA)
    for number in range(size):
        Table(
            f"t{number}",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("parent_id", ForeignKey(f"{SCHEMA}.t{number // 10}.id", name=f"parent_{number}"), index=True),
            Column("name", String(50)),
            Column("amount", Numeric(12, 2)),
            Column("moment", DateTime(timezone=True)),
            info={"versioned": {"exclude": ["moment"]}},
        )
    return metadata


def _seconds(engine: Engine, call: Callable[[Connection], object]) -> float:
    with engine.connect() as connection, stopwatch() as watch:
        call(connection)
        connection.commit()
    return watch.seconds


def _compared(connection: Connection, metadata: MetaData) -> list[object]:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    options = {"include_schemas": True, "include_name": _is_of_schema}
    found: list[object] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    return found


def _is_of_schema(name: str | None, type_: str, parents: object) -> bool:
    return type_ != "schema" or name == SCHEMA


def _expect_none(found: Sequence[object]) -> None:
    if found:
        raise RuntimeError(f"{len(found)} differences, first {found[0]}")


@contextmanager
def _created(engine: Engine, metadata: MetaData) -> Iterator[None]:
    tables = metadata.sorted_tables
    parts = [tables[first : first + TOGETHER] for first in range(0, len(tables), TOGETHER)]
    with engine.connect() as connection:
        connection.execute(CreateSchema(SCHEMA))
        for part in parts:
            metadata.create_all(connection, tables=part)
        yield
        for part in reversed(parts):
            metadata.drop_all(connection, tables=part)
        connection.execute(DropSchema(SCHEMA, cascade=True))
