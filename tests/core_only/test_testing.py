"""What the tests of an application can say about its trail."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from audit_core import AuditLog, ConfigurationError, audit_context
from audit_core.testing import AuditTrail, assert_changes, assert_unchanged, changes
from sqlalchemy import URL, Column, Connection, Engine, ForeignKey, Integer, MetaData, Table, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Article(Base):
    __tablename__ = 'Article; "--'
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    body: Mapped[str] = mapped_column(default="")
    author_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))


log = AuditLog(Base, actor_cls=User)


@pytest.fixture(scope="module")
def tested(module_engine: Engine) -> tuple[AuditTrail, Engine]:
    Base.metadata.create_all(module_engine)
    log.attach(module_engine)
    trail = AuditTrail(log)
    trail.install(module_engine)
    return trail, module_engine


@pytest.fixture
def connection(tested: tuple[AuditTrail, Engine]) -> Iterator[Connection]:
    """The pattern of SQLAlchemy's documentation: what a test commits goes with the transaction around it."""
    with tested[1].connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


@pytest.fixture
def session(connection: Connection) -> Iterator[Session]:
    with Session(connection, join_transaction_mode="create_savepoint") as session:
        yield session


@pytest.fixture
def ann(session: Session) -> User:
    ann = User(name="Ann")
    session.add(ann)
    session.commit()
    return ann


def test_what_is_expected_passes(session: Session, ann: User) -> None:
    with assert_changes(session, insert=[User, Article], by=ann), audit_context(actor_id=ann.id):
        session.add_all([User(name="Ben"), Article(id=1, title="a")])
        session.commit()
    with assert_changes(session, update={Article: {"title"}}, insert={User: 2}, by=None):
        session.get_one(Article, 1).title = "b"
        session.add_all([User(name="Cat"), User(name="Dan")])
    with assert_changes(session, update={Article: {Article.title, "body"}}, by=ann.id), audit_context(actor_id=ann.id):
        session.execute(text("UPDATE \"Article; \"\"--\" SET title = 'c', body = 'd'"))
    with assert_changes(session, delete=Article.__table__):
        session.delete(session.get_one(Article, 1))
    with assert_unchanged(session):
        session.get_one(User, ann.id).name = "Ann"
        session.flush()
    assert [(each.verb, each.table) for each in changes(session)][-2:] == [
        ("update", 'Article; "--'),
        ("delete", 'Article; "--'),
    ]


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({}, "1 unexpected: insert of 'users'; 1 unexpected: update of 'Article; \"--'"),
        ({"insert": User}, "1 unexpected: update of 'Article; \"--'"),
        ({"insert": {User: 2}, "update": Article}, "1 instead of 2: insert of 'users'"),
        (
            {"insert": User, "update": {Article: {"title"}}},
            "update of 'Article; \"--' changes body, title instead of title",
        ),
        ({"insert": User, "update": Article, "delete": Article}, "no delete of 'Article; \"--' was recorded"),
        ({"insert": User, "update": Article, "by": 2}, "made by 1 instead of 2"),
        ({"insert": User, "update": Article, "by": None}, "made by 1 instead of None"),
    ],
)
def test_what_is_not_expected_fails_and_shows_what_was_recorded(session: Session, expected: Any, message: str) -> None:
    session.add_all([User(id=1, name="Ann"), Article(id=5, title="Hello")])
    session.commit()

    def edit() -> None:
        with assert_changes(session, **expected), audit_context(actor_id=1):
            article = session.get_one(Article, 5)
            article.title, article.body = "Bye", "x" * 100
            session.add(User(id=9, name="Ben"))
            session.flush()

    with pytest.raises(AssertionError) as failure:
        edit()
    first, *rest = str(failure.value).splitlines()
    assert first == f"{message}."
    assert "      title: 'Hello' -> 'Bye'" in rest
    assert any(line.endswith("insert users 9, by 1") for line in rest)


def test_tables_of_one_name_are_told_apart(session: Session) -> None:
    namesake = Table("users", MetaData(), Column("id", Integer), schema="shop")

    def edit() -> None:
        with assert_changes(session, insert=namesake, audit_log=log):
            session.add(User(name="Ann"))

    with pytest.raises(AssertionError, match="no insert of 'users' was recorded; 1 unexpected: insert of 'users'"):
        edit()


def test_nothing_at_all_says_what_may_be_missing(session: Session) -> None:
    with pytest.raises(AssertionError, match=r"Nothing was recorded\. Is the table audited"):
        assert_changes(session, insert=User)(int)()


def test_an_error_of_the_block_is_not_hidden(session: Session) -> None:
    with pytest.raises(ZeroDivisionError), assert_changes(session, insert=User):
        raise ZeroDivisionError


def test_the_objects_of_a_test_are_left_alone(session: Session, ann: User) -> None:
    with assert_changes(session, update={User: {"name"}}):
        ann.name = "Anna"
    assert ann in session
    assert session.in_transaction()


def test_what_another_connection_commits_counts(tested: tuple[AuditTrail, Engine]) -> None:
    trail, engine = tested
    with Session(engine) as session, trail.assert_changes(session, insert=User), Session(engine) as application:
        application.add(User(name="Eve"))
        application.commit()
    trail.truncate(engine)


def test_truncate_empties_tables_and_trail(tested: tuple[AuditTrail, Engine]) -> None:
    trail, engine = tested
    for _ in range(2):
        with Session(engine) as session, audit_context(actor_id=1):
            session.add(User(name="Ann"))
            session.commit()
            session.add(Article(title="a"))
            trail.truncate(session)
            assert trail.changes(session) == []
            session.add(User(name="Ben"))
            session.commit()
            assert [(each.verb, each.key, each.actor_id) for each in trail.changes(session)] == [("insert", "1", 1)]
        trail.truncate(engine, trail_only=True)
        with Session(engine) as session:
            assert trail.changes(session) == []
            assert session.get_one(User, 1).name == "Ben"
        trail.truncate(engine)


def test_a_trail_that_was_not_installed_here_is_not_emptied(tested: tuple[AuditTrail, Engine]) -> None:
    _, engine = tested
    with pytest.raises(ConfigurationError, match="was not installed by this AuditTrail"):
        AuditTrail(log).truncate(engine)
    with Session(engine) as session:
        session.add(User(name="of last year"))
        session.commit()
    with pytest.raises(ConfigurationError, match="has a trail that is not empty"):
        AuditTrail(log).install(engine)
    tested[0].truncate(engine)


def test_which_trail_is_meant_has_to_be_known(session: Session) -> None:
    class Others(DeclarativeBase):
        pass

    class Other(Others):
        __tablename__ = "others"
        id: Mapped[int] = mapped_column(primary_key=True)

    other_log = AuditLog(Others)
    with pytest.raises(ConfigurationError, match="2 audit trails are known to the tests: say which one is meant"):
        assert_changes(session, insert=[Other, User])(int)()
    assert_unchanged(session, audit_log=log)(int)()
    assert other_log.schema == "public"
    with pytest.raises(ConfigurationError, match="'users' is neither a model nor a Table"):
        assert_changes(session, insert="users")(int)()


PROJECT = """
import os
import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from audit_core import AuditLog


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    __table_args__ = ({"info": {"versioned": {}}},)
    id: Mapped[int] = mapped_column(primary_key=True)


log = AuditLog(Base)


@pytest.fixture(scope="session")
def audit_log():
    return log


@pytest.fixture(scope="session")
def engine(audit_trail):
    engine = create_engine(os.environ["DATABASE"])
    Base.metadata.create_all(engine)
    audit_trail.install(engine)
    return engine


def test_fixture(engine, audit_trail):
    with Session(engine) as session, audit_trail.assert_changes(session, insert={User: 1}):
        session.add(User(id=1))


def test_failure(engine, audit_trail):
    with Session(engine) as session, audit_trail.assert_unchanged(session):
        session.add(User(id=2))
"""


def run_pytest(folder: Path, source: str, **environment: str) -> str:
    assert entry_points(group="pytest11", name="audit_trail"), "made before there was a plugin: hatch env prune"
    (folder / "test_project.py").write_text(textwrap.dedent(source))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **environment},
    )
    return done.stdout + done.stderr


def test_the_plugin_has_the_fixture_and_a_failure_shows_the_trail(database: URL, tmp_path: Path) -> None:
    output = run_pytest(tmp_path, PROJECT, DATABASE=database.render_as_string(hide_password=False))
    assert "1 failed, 1 passed" in output
    assert "AssertionError: 1 unexpected: insert of 'users'" in output
    assert "insert users 2, by nobody" in output


def test_without_the_fixture_the_plugin_imports_nothing(tmp_path: Path) -> None:
    output = run_pytest(tmp_path, "import sys\ndef test_it():\n    assert 'audit_core' not in sys.modules")
    assert "1 passed" in output
    output = run_pytest(tmp_path, "def test_it(audit_trail):\n    pass")
    assert "Write a fixture audit_log(), with scope='session', that returns it" in output
