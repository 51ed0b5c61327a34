"""Actors have names, beside their ids, wherever a person reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from audit_core import audit_context
from audit_core.audit_log import scope_of
from audit_core.reading import actor_names
from sqlalchemy import URL, Engine, create_engine, event, text
from sqlalchemy.orm import Session

from tests.cli import staff
from tests.cli.conftest import Shop
from tests.cli.staff import Article, Branch, Clerk, Employee, Item


class StaffShop(Shop):
    """A shop whose actors are employees."""

    metadata = "tests.cli.staff:Base"

    @property
    def given(self) -> list[str]:
        return ["--url", self.url.render_as_string(hide_password=False), "--metadata", self.metadata]


class ClerkShop(StaffShop):
    """A shop whose actors say themselves what they are called."""

    metadata = "tests.cli.staff:OwnBase"


@contextmanager
def opened(url: URL, base: Any, log: Any) -> Iterator[Engine]:
    engine = create_engine(url)
    with engine.begin() as connection:
        base.metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    yield engine
    log.detach(engine)
    engine.dispose()


def write(engine: Engine, *objects: Any, actor: int | None = None, **context: Any) -> None:
    with Session(engine) as session, audit_context(actor_id=actor, **context):
        session.add_all(objects)
        session.commit()


@contextmanager
def statements(*words: str) -> Iterator[list[str]]:
    """Collect the statements of all engines that hold these words."""
    found: list[str] = []

    def seen(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if all(word in statement for word in words):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", seen)
    yield found
    event.remove(Engine, "before_cursor_execute", seen)


@pytest.fixture(scope="module")
def staffed(module_database: URL) -> Iterator[StaffShop]:
    """A shop in which Ann, Ben, somebody who is gone, and nobody added articles."""
    with opened(module_database, staff.Base, staff.audit_log) as engine:
        ann = Employee(id=1, email="ann@example.org", name="Ann\x1b[31m")
        write(engine, ann, Employee(id=2, email="b", name="Ben"))
        for number, actor in enumerate((1, 2, 77, None), start=1):
            write(engine, Article(id=number, title="Cup"), actor=actor)
        yield StaffShop(module_database, engine)


def test_actors_are_shown_by_name_and_id(staffed: StaffShop) -> None:
    lines = staffed.run("log").stdout.splitlines()[1:]
    actors = [line.split("  ")[2:] for line in lines]
    assert [next(each for each in cells[1:] if each) for cells in actors] == [
        "-",
        "77",
        "Ben (2)",
        "Ann\\x1b[31m (1)",
    ]
    assert "Ann\\x1b[31m (1)" in staffed.run("history", "articles", "1").stdout
    assert "Ben (2)" in staffed.run("show", "2").stdout
    assert "Ben (2)" in staffed.run("who", "articles", "2").stdout
    assert "Ben (2)" in staffed.run("stats", "--by", "actor").stdout


def test_json_keeps_the_id_and_adds_the_name(staffed: StaffShop) -> None:
    for command in (("log",), ("export", "--format", "jsonl")):
        printed = staffed.run(*command, *([] if command[0] == "export" else ["--json"])).stdout
        found = sorted(map(json.loads, printed.splitlines()), key=lambda each: each["id"])
        assert [(each["actor_id"], each["actor"]) for each in found] == [
            (1, "Ann\x1b[31m"),
            (2, "Ben"),
            (77, None),
            (None, None),
        ]


def test_the_names_of_a_batch_take_one_query(staffed: StaffShop) -> None:
    for command in (["log"], ["log", "--by-transaction"], ["export", "--format", "csv"]):
        with statements("SELECT", "employees.") as found:
            staffed.run(*command)
        assert len(found) == 1, command


def test_who_may_not_read_the_actors_sees_their_ids(staffed: StaffShop) -> None:
    scope = scope_of(staff.audit_log)
    with staffed.engine.connect() as connection:
        connection.execute(text("CREATE ROLE audit_test_names"))
        connection.execute(text("GRANT SELECT ON articles TO audit_test_names"))
        connection.execute(text("SET LOCAL ROLE audit_test_names"))
        assert actor_names(scope, connection, [1]) == {}
        assert connection.scalar(text("SELECT count(*) FROM articles")) == 4, "the transaction goes on"
        connection.execute(text("RESET ROLE"))
        assert actor_names(scope, connection, [1, None, 77]) == {1: "Ann\x1b[31m"}
        connection.rollback()


def test_a_class_that_says_what_it_is_called_is_asked_and_runs_no_query_of_its_own(database: URL) -> None:
    with opened(database, staff.OwnBase, staff.own_audit_log) as engine:
        write(engine, Branch(id=1, city="Bergen"), Clerk(id=1, name="Ann"))
        write(engine, Clerk(id=2, name="Ben", branch_id=1))
        write(engine, Item(id=1), actor=1)
        write(engine, Item(id=2), actor=2)
        shop = ClerkShop(database, engine)
        with statements("SELECT", "branches") as found:
            shown = shop.run("log", "--json").stdout.splitlines()
        assert [json.loads(each)["actor"] for each in shown] == [None, "Clerk Ann"]
        assert found == []


def test_a_text_that_lists_all_values_is_no_name() -> None:
    """Such as that of SQLModel, which has the hash of the password in it."""
    from audit_core.reading.actor_names import says_itself

    listing = type("Listing", (), {"__module__": "sqlmodel.main", "__str__": lambda self: "password='x'"})
    assert not says_itself(type("User", (listing,), {}))
    assert says_itself(type("Named", (listing,), {"__module__": "app", "__str__": lambda self: "Ann"}))
