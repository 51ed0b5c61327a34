"""What happened and is no change of a row stands in the same trail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from audit_core import AuditLog, ConfigurationError, HistoryError, audit_context
from sqlalchemy import Engine, MetaData, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.core_only.shop import Customer, audit_log


@pytest.fixture
def engine(shop_engine: Engine) -> Iterator[Engine]:
    audit_log.attach(shop_engine)
    yield shop_engine
    audit_log.detach(shop_engine)


def test_an_event_has_its_actor_and_what_it_is_about(engine: Engine) -> None:
    with Session(engine) as session, audit_context(actor_id="ann"), session.begin():
        customer = Customer(id=1, name="Ann")
        session.add(customer)
        session.flush()
        audit_log.record_event(session, "invoice.sent", target=customer, data={"to": "a@b.c", "copy": None})
    with Session(engine) as session:
        (activity,) = session.scalars(audit_log.activities(verb="event"))
        assert (activity.table_name, activity.row_key, activity.transaction.actor_id) == (
            "activity",
            "invoice.sent",
            "ann",
        )
        assert activity.changed_data == {
            "event": "invoice.sent",
            "target": {"table": "customers", "key": "1"},
            "data": {"to": "a@b.c", "copy": None},
        }
        # It is no change of the record.
        assert [each.verb for each in session.scalars(audit_log.history(Customer, 1))] == ["insert"]


def test_it_goes_with_its_transaction(engine: Engine) -> None:
    with Session(engine) as session:
        audit_log.record_event(session, "export")
        session.rollback()
        assert not session.scalars(audit_log.activities(verb="event")).all()


def test_it_is_sealed(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        audit_log.record_event(session, "export", data={"rows": 1})
    audit_log.seal(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.exec_driver_sql("UPDATE activity SET row_key = 'import' WHERE verb = 'event'")
    with Session(engine) as session:
        assert [each.kind for each in audit_log.verify_seals(session)] == ["altered"]


def test_a_role_that_may_do_nothing_else_can_record_events(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE ROLE recorder_of_events"))
        connection.execute(
            text("GRANT EXECUTE ON FUNCTION audit_logger_record_event(text, jsonb, jsonb) TO recorder_of_events")
        )
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL ROLE recorder_of_events"))
            audit_log.record_event(connection, "export")
        with engine.connect() as connection:
            assert connection.scalars(select(audit_log.activity_cls.verb)).all() == ["event"]
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP OWNED BY recorder_of_events"))
            connection.execute(text("DROP ROLE recorder_of_events"))


def test_only_declared_names(engine: Engine) -> None:
    log = AuditLog(MetaData(), events=["login"])
    with Session(engine) as session, pytest.raises(ConfigurationError, match=r"'logni' is not among .* 'login'"):
        log.record_event(session, "logni")
    with pytest.raises(ConfigurationError, match="make it a list"):
        AuditLog(MetaData(), events="login")


@pytest.mark.parametrize("name", ["", "x" * 201, "two\nlines"])
def test_a_name_that_cannot_be_recorded(engine: Engine, name: str) -> None:
    with Session(engine) as session, pytest.raises(DBAPIError, match="1 to 200 characters"):
        audit_log.record_event(session, name)


def test_a_target_without_a_key(engine: Engine) -> None:
    with Session(engine) as session, pytest.raises(HistoryError, match="no primary key yet"):
        audit_log.record_event(session, "export", target=Customer(name="Ann"))
    with Session(engine) as session, pytest.raises(HistoryError, match="not an object of a model"):
        audit_log.record_event(session, "export", target="customers 1")
