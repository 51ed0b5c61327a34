"""A database of many tables: what autogenerate asks for the trail does not depend on their number."""

from __future__ import annotations

from typing import Any

import audit_alembic  # noqa: F401 - registers the comparators
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from audit_core import AuditLog
from sqlalchemy import Column, Engine, Integer, MetaData, Table, event


def comparison(engine: Engine, metadata: MetaData) -> int:
    """Compare a database with what is wanted, and count the statements."""
    sent: list[str] = []

    def note(_: Any, __: Any, statement: str, *others: Any) -> None:
        sent.append(statement)

    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", note)
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    return len(sent)


def test_the_number_of_tables_does_not_matter(engine: Engine) -> None:
    added = {}
    for tables in (2, 20):
        metadata, bare = MetaData(), MetaData()
        for number in range(tables):
            Table(f"t{number}", metadata, Column("id", Integer, primary_key=True), info={"versioned": {}})
            Table(f"t{number}", bare, Column("id", Integer, primary_key=True))
        log = AuditLog(metadata)
        with engine.begin() as connection:
            metadata.create_all(connection)
            log.install(connection)
        comparison(engine, metadata)  # Alembic asks for something once for each engine
        added[tables] = comparison(engine, metadata) - comparison(engine, bare)
    assert added[20] == added[2] < 20
