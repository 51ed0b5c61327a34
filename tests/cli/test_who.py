"""``who`` says who gave a row its present values, and what the trail does not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from audit_core import AuditLog, audit_context
from audit_core.cli.errors import CommandError
from audit_core.cli.options import column_name
from sqlalchemy import URL, Column, Integer, MetaData, String, Table, create_engine, text
from sqlalchemy.orm import Session

from tests.cli import staff
from tests.cli.staff import Article, Employee
from tests.cli.test_names import StaffShop, opened, statements, write


@pytest.fixture(scope="module")
def told(module_database: URL) -> Iterator[StaffShop]:
    """Article 1 is older than the trail, Ann added the others, Ben changed some, and took one away and back."""
    engine = create_engine(module_database)
    staff.Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Employee(id=1, email="a", name="Ann"), Employee(id=2, email="b", name="Ben")])
        session.add(Article(id=1, title="Old", body="x"))
        session.commit()
    engine.dispose()
    with opened(module_database, staff.Base, staff.audit_log) as engine:
        write(engine, Article(id=2, title="Cup", stock=20, shelf="A", code="s"), Article(id=3, title="Pot"), actor=1)
        for number, values in ((1, {"stock": 3}), (2, {"stock": 19, "code": "t"})):
            with Session(engine) as session, audit_context(actor_id=2, reason="counted"):
                row = session.get_one(Article, number)
                for name, value in values.items():
                    setattr(row, name, value)
                session.commit()
        with Session(engine) as session, audit_context(actor_id=2, reason="broken"):
            session.delete(session.get_one(Article, 3))
            session.commit()
        yield StaffShop(module_database, engine)


def cells(shop: StaffShop, *arguments: str) -> dict[str, list[str]]:
    """Return the cells of each line by the column of the row."""
    heading, *lines = shop.run("who", *arguments).stdout.splitlines()
    names = ("column", "value", "by", "when", "transaction", "why")
    assert heading.split() == list(names)
    starts = [*(heading.index(name) for name in names), None]
    found = [[line[a:b].strip() for a, b in pairwise(starts)] for line in lines]
    return {each[0]: each[1:] for each in found}


def test_each_column_has_who_gave_it_its_value(told: StaffShop) -> None:
    found = cells(told, "articles", "2")
    assert {name: (row[0], row[1], row[4]) for name, row in found.items() if name != "shelf"} == {
        "id": ("2", "Ann (1)", ""),
        "t_title": ("Cup", "Ann (1)", ""),
        "body": ("null", "Ann (1)", ""),
        "stock": ("19", "Ben (2)", "counted"),
        "code": ("***", "Ben (2)", "counted"),
    }
    assert found["shelf"] == ["-", "not known", "-", "-", "not recorded"]


def test_what_is_older_than_the_trail_is_not_known(told: StaffShop) -> None:
    found = cells(told, "articles", "1")
    assert found["t_title"] == ["Old", "not known", "-", "-", "not set since the trail knows the row"]
    assert found["stock"][:2] == ["3", "Ben (2)"]


def test_one_column_is_named_as_in_the_model_or_in_the_database(told: StaffShop) -> None:
    assert list(cells(told, "articles", "2", "title")) == ["t_title"]
    assert list(cells(told, "articles", "2", "t_title")) == ["t_title"]
    assert "'nix' is not a column of 'articles'; its columns are 'id', 't_title'" in told.mistake(
        "who", "articles", "2", "nix"
    )
    of_column = told.lines("log", "--table", "articles", "--column", "t_title")
    assert len(of_column) > 1
    assert told.lines("log", "--table", "articles", "--column", "title") == of_column
    assert told.lines("log", "--column", "title") == told.lines("log", "--column", "t_title") == of_column


def test_a_name_that_models_give_to_several_columns_needs_the_table() -> None:
    log = AuditLog(MetaData())
    info: Any = {"versioned": {}}
    for number in (1, 2):
        named = Column(f"t{number}_title", String, key="title")
        Table(f"things_{number}", log.metadata, Column("id", Integer, primary_key=True), named, info=info)
    assert column_name(log, log.metadata.tables["things_2"], "title") == "t2_title"
    assert column_name(log, None, "t1_title") == "t1_title"
    assert column_name(log, None, "was dropped") == "was dropped"
    with pytest.raises(CommandError, match="'title' is 't1_title' of 'things_1', 't2_title' of 'things_2'; say with"):
        column_name(log, None, "title")


def test_a_row_that_is_gone_is_the_answer_no(told: StaffShop) -> None:
    said = told.run("who", "articles", "3", code=1).stdout
    assert said.startswith("'articles' '3' is gone: Ben (2) deleted it at ")
    assert said.endswith(", broken.\n")
    assert told.object("who", "articles", "3", code=1)["is_gone"]
    assert told.mistake("who", "articles", "77") == "Error: Nothing is recorded of 'articles' '77'."


def test_a_row_that_came_back_has_the_values_of_its_second_life(told: StaffShop) -> None:
    with Session(told.engine) as session, audit_context(actor_id=1):
        session.add(Article(id=9, title="First", stock=1))
        session.commit()
        session.delete(session.get_one(Article, 9))
        session.commit()
        session.add(Article(id=9, title="Second"))
        session.commit()
        found = dict(map(tuple, session.execute(staff.audit_log.origins(Article, 9))))
        (newest, *_) = session.scalars(staff.audit_log.history(Article, 9))
        assert {each for each in found.values() if each is not None} == {newest}
        of_object = session.execute(staff.audit_log.origins(session.get_one(Article, 9)))
        assert found == dict(map(tuple, of_object))


def test_a_key_that_was_changed_keeps_the_origins_of_the_rest(told: StaffShop) -> None:
    write(told.engine, Article(id=20, title="Moved"), actor=1)
    with Session(told.engine) as session, audit_context(actor_id=2):
        session.get_one(Article, 20).id = 21
        session.commit()
    found = cells(told, "articles", "21")
    assert (found["id"][1], found["t_title"][1]) == ("Ben (2)", "Ann (1)")


def test_it_takes_one_query_however_many_columns_and_changes(told: StaffShop) -> None:
    with statements("jsonb_object_keys") as found:
        told.run("who", "articles", "2")
    assert len(found) == 1


def test_json_has_the_activities(told: StaffShop) -> None:
    said = told.object("who", "articles", "2", "stock")
    (column,) = said.pop("columns")
    assert {name: each for name, each in said.items() if name != "notes"} == {
        "table": "articles",
        "row_key": "2",
        "is_gone": False,
    }
    assert said["notes"] == [], "which are about other columns"
    assert told.object("who", "articles", "2")["notes"] == ['"shelf" was not recorded', '"code" is masked']
    assert (column["value"], column["actor_id"], column["actor"], column["verb"]) == (19, 2, "Ben", "update")


def test_writes_that_bypassed_the_trail_are_said(told: StaffShop) -> None:
    write(told.engine, Article(id=30, title="Seen"), actor=1)
    with Session(told.engine) as session, staff.audit_log.disable(session):
        session.execute(text("UPDATE articles SET stock = 5 WHERE id = 30"))
        session.commit()
    assert "Note: writes of its table bypassed the trail since" in told.run("who", "articles", "30").stderr


def test_of_a_write_without_an_actor_the_role_is_said(told: StaffShop) -> None:
    write(told.engine, Article(id=40, title="By hand"))
    assert cells(told, "articles", "40")["t_title"][1] == "- (postgres)"
    assert json.loads(told.run("who", "articles", "40", "--json").stdout)["columns"][0]["actor"] is None
