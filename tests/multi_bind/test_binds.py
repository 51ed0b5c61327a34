"""Each logger records its own database, with the actor of the one application."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from audit_core import ConfigurationError, audit_context
from flask_audit_logger import AuditLogger
from sqlalchemy import delete, inspect, select, update
from sqlalchemy.orm import Session, joinedload

from tests.contract.subject import Subject, Trail
from tests.multi_bind.app import (
    Article,
    Report,
    User,
    Visit,
    audit_logger,
    db,
    reports_logger,
)


@pytest.fixture
def session(subject: Subject) -> Iterator[Session]:
    with subject.session() as session:
        yield session


@pytest.fixture
def reports(session: Session) -> Trail:
    """What is recorded of reports from now on."""
    return Trail(Subject(reports_logger, db.engines["reports"], Report, User, db.session, None))  # type: ignore[arg-type]


def titles(trail: Trail, table_name: str) -> list[str]:
    return [activity.changed_data["title"] for activity in trail.activities(table_name)]


def test_each_database_holds_what_was_changed_in_it(session: Session, trail: Trail, reports: Trail) -> None:
    session.add_all([Article(title="article"), Report(title="report", secret="x"), Visit()])
    session.commit()
    assert (titles(trail, "articles"), titles(trail, "reports")) == (["article"], [])
    assert (titles(reports, "articles"), titles(reports, "reports")) == ([], ["report"])
    assert "secret" not in reports.activities("reports")[0].changed_data


def test_both_name_the_actor(session: Session, subject: Subject, trail: Trail, reports: Trail) -> None:
    actor = subject.add_actor("ann")
    with audit_context(actor_id=actor, reason="both"):
        session.add_all([Article(title="article"), Report(title="report")])
        session.commit()
    recorded = [*trail.activities("articles"), *reports.activities("reports")]
    assert [(each.transaction.actor_id, each.transaction.meta) for each in recorded] == [
        (actor, {"reason": "both"})
    ] * 2


def test_models_of_a_trail_are_read_from_its_database(session: Session, subject: Subject, reports: Trail) -> None:
    actor = subject.add_actor("reader")
    with audit_context(actor_id=actor):
        session.add(Report(title="report"))
        session.commit()
    activity_cls = reports_logger.activity_cls
    query = (
        select(activity_cls)
        .options(joinedload(activity_cls.transaction))
        .where(activity_cls.id > reports.last_activity)
    )
    activity = session.scalars(query).one()
    assert (activity.table_name, activity.transaction.actor_id) == ("reports", actor)
    # The actor is a row of another database, which a query of its own finds.
    assert activity.transaction.actor.name == "reader"


@pytest.mark.parametrize(
    ("logger", "expected"),
    [(audit_logger, ([], ["report"])), (reports_logger, (["article"], []))],
    ids=["default", "reports"],
)
def test_disable_holds_for_the_database_of_its_logger(
    session: Session, trail: Trail, reports: Trail, logger: AuditLogger, expected: tuple[list[str], list[str]]
) -> None:
    with logger.disable(session):
        session.add_all([Article(title="article"), Report(title="report")])
    session.commit()
    assert (titles(trail, "articles"), titles(reports, "reports")) == expected


def test_a_rollback_is_one_in_each_database(session: Session, trail: Trail, reports: Trail) -> None:
    session.add_all([Article(title="lost"), Report(title="lost")])
    session.flush()
    session.rollback()
    session.add_all([Article(title="article"), Report(title="report")])
    session.commit()
    assert (titles(trail, "articles"), titles(reports, "reports")) == (["article"], ["report"])


def test_a_database_without_a_logger_has_no_trail(session: Session) -> None:
    session.add(Visit())
    session.commit()
    session.execute(update(Visit).values(id=Visit.id + 1000))
    session.execute(delete(Visit))
    session.commit()
    assert set(inspect(db.engines["plain"]).get_table_names()) == {"alembic_version", "visits"}


def test_a_bind_key_without_a_model_is_refused(session: Session) -> None:
    with pytest.raises(ConfigurationError, match="bind_key is 'repots' and no model has that __bind_key__"):
        AuditLogger(db, bind_key="repots")


def test_a_second_logger_for_a_bind_is_refused(session: Session) -> None:
    with pytest.raises(ConfigurationError, match="has an AuditLog already"):
        AuditLogger(db, bind_key="reports")
