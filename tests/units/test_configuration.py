"""What is refused without a look at the database."""

from __future__ import annotations

from typing import Any

import pytest
from audit_core import (
    AuditError,
    AuditLog,
    ConfigurationError,
    ContextError,
    UnsupportedDatabaseError,
    audit_context,
)
from audit_core.audit_log import scope_of
from audit_core.installation.wanted import wanted_triggers
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    create_engine,
)

from tests.contract.tables import log_of_users


@pytest.mark.parametrize(
    ("options", "excluded"), [(True, ()), ({}, ()), ({"exclude": ["name"]}, ("name",)), (None, None), (False, None)]
)
def test_the_key_of_2x_still_works(options: object, excluded: tuple[str, ...] | None) -> None:
    metadata = MetaData()
    log = AuditLog(metadata)
    id_, name = Column("id", Integer, primary_key=True), Column("name", Integer)
    Table("users", metadata, id_, name, info={"audit_logged": options})
    if excluded is None:
        assert wanted_triggers(scope_of(log)) == []
        return
    with pytest.warns(DeprecationWarning, match="Table 'users'.*Write 'versioned' instead, and {} instead of True"):
        (triggers,) = wanted_triggers(scope_of(log))
    assert triggers.options.exclude == excluded


def test_the_key_of_today_wins() -> None:
    metadata = MetaData()
    log = AuditLog(metadata)
    Table("users", metadata, Column("id", Integer, primary_key=True), info={"audit_logged": True, "versioned": None})
    assert wanted_triggers(scope_of(log)) == []


@pytest.mark.parametrize("options", [None, False])
def test_a_table_can_say_that_it_is_not_audited(options: object) -> None:
    assert wanted_triggers(scope_of(log_of_users(options))) == []


def test_two_logs_on_one_metadata_are_refused() -> None:
    log = log_of_users({})
    with pytest.raises(ConfigurationError, match="has an AuditLog already"):
        AuditLog(log.metadata)


@pytest.mark.parametrize("name", ["activity", "transaction"])
def test_a_table_of_the_application_with_a_name_of_the_trail_is_refused(name: str) -> None:
    metadata = MetaData()
    Table(name, metadata, Column("id", Integer, primary_key=True))
    with pytest.raises(ConfigurationError, match=rf"'{name}'.*schema='audit'"):
        AuditLog(metadata)
    AuditLog(metadata, schema="audit")


def test_another_database_than_postgresql_is_refused() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection, pytest.raises(UnsupportedDatabaseError, match="'sqlite'"):
        log_of_users({}).install(connection)
    engine.dispose()


def test_every_error_is_an_audit_error() -> None:
    for error in (ConfigurationError, ContextError, UnsupportedDatabaseError):
        assert issubclass(error, AuditError)
    assert issubclass(ConfigurationError, ValueError)


def test_audit_context_does_not_decorate_generators() -> None:
    with pytest.raises(ConfigurationError, match="generator"):

        @audit_context(job="x")
        def numbers() -> Any:
            yield 1


def test_the_likely_slip_with_the_name_of_the_actor_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"actor=7\) names no actor. Write actor_id="):
        audit_context(actor=7)
