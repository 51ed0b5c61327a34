"""The trail lives in its own schema, and nothing of it in another."""

from __future__ import annotations

from sqlalchemy import inspect

from tests.contract.subject import Subject


def test_the_tables_are_in_the_schema(subject: Subject) -> None:
    inspector = inspect(subject.engine)
    names = [
        "activity",
        "activity_commitment",
        "activity_coverage",
        "activity_hold",
        "activity_open",
        "activity_partition",
        "activity_retention",
        "activity_seal",
        "activity_seal_leaf",
        "activity_stream",
        "transaction",
    ]
    assert sorted(inspector.get_table_names(schema="Audit Logs")) == names
    assert sorted(inspector.get_table_names()) == ["alembic_version", "articles", "users"]
