"""Trails in a schema of their own, with typed actors, and readers who may do little."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_core import AuditLog, ConfigurationError, audit_context
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from tests.archive.trail import said


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Note(Base):
    __tablename__ = "notes"
    __table_args__ = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str]


audit_log = AuditLog(Base, schema="audit", actor_cls=User)


@pytest.fixture
def notes(database: URL, tmp_path: Path) -> Iterator[Engine]:
    """Two changes that only the archive has, and one of today."""
    engine = create_engine(database, poolclass=NullPool)
    audit_log.attach(engine)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)
    with Session(engine) as session, session.begin():
        session.add_all([User(id=5, name="Eva"), User(id=6, name="Max")])
    for number, words in enumerate(("one", "two", "three")):
        who = audit_context(actor_id=5 + number % 2, client_addr="10.0.0.1")
        with who, Session(engine) as session, session.begin():
            session.merge(Note(id=1, words=words))
        if number == 1:
            audit_log.split(engine, at_once=True)
            with engine.begin() as connection:
                connection.execute(text("SET LOCAL audit_logger.maintenance = on"))
                for column in ("first_issued_at", "last_issued_at"):
                    connection.execute(
                        text(f"UPDATE audit.activity_partition SET {column} = {column} - interval '2 days'")
                    )
    with Session(engine) as session:
        engine_said = said(session.scalars(audit_log.history(Note, 1)))
    audit_log.archive(engine, str(tmp_path), older_than=dt.timedelta(days=1), drop=True)
    with Session(engine) as session:
        assert len(session.scalars(audit_log.history(Note, 1)).all()) == 1
    with audit_log.archived(engine) as trail:
        assert said(trail.history(Note, 1)) == engine_said
    yield engine
    audit_log.detach(engine)
    engine.dispose()


def test_actors_have_their_type(notes: Engine) -> None:
    with audit_log.archived(notes) as trail:
        eva, max_ = trail.session.get_one(User, 5), trail.session.get_one(User, 6)
        assert [each.changed_data["words"] for each in trail.activities(actor=eva)] == ["three", "one"]
        assert len(trail.history(trail.session.get_one(Note, 1))) == 3
        (second,) = trail.activities(actor=6)
        assert second.changed_data == {"words": "two"}
        assert second.transaction.actor is max_
        assert str(second.transaction.client_addr) == "10.0.0.1"
        assert second.changes == {"words": ("one", "two")}
        assert second.before.words == "one"
        assert trail.get_as_of(Note, 1, second.issued_at).words == "two"
        assert dict(trail.diff(Note, 1, second.issued_at, dt.datetime.now(dt.timezone.utc))) == {
            "words": ("two", "three")
        }


def test_a_reader_needs_little(notes: Engine) -> None:
    role = f"reader_{notes.url.database}"
    with notes.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'"))
        connection.execute(text(f"GRANT USAGE ON SCHEMA audit TO {role}"))
        connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA audit TO {role}"))
    reader = create_engine(notes.url.set(username=role, password="secret"), poolclass=NullPool)
    try:
        with pytest.raises(ConfigurationError, match="needs USAGE on schema 'audit_archive'"):
            audit_log.archived(reader).__enter__()
        with notes.begin() as connection:
            connection.execute(text(f"GRANT USAGE ON SCHEMA audit_archive TO {role}"))
            connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA audit_archive TO {role}"))
        with audit_log.archived(reader) as trail:
            assert len(trail.history(Note, 1)) == 3
        with notes.begin() as connection:
            connection.execute(text(f'REVOKE TEMPORARY ON DATABASE "{notes.url.database}" FROM PUBLIC'))
        with pytest.raises(ConfigurationError, match="temporary tables are needed"):
            audit_log.archived(reader).__enter__()
    finally:
        reader.dispose()
        with notes.begin() as connection:
            connection.execute(text(f"DROP OWNED BY {role}"))
            connection.execute(text(f"DROP ROLE {role}"))
