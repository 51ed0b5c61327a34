"""A command runs no function and no operator of others, whatever the search path leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Any

import pytest
from audit_core.audit_log import scope_of
from audit_core.reading import actor_names
from sqlalchemy import URL, func, select
from sqlalchemy.orm import Session

from tests.cli import staff
from tests.cli.conftest import Shop, _shop
from tests.cli.shop import Customer, Line, Order
from tests.cli.test_names import opened, write
from tests.contract.attack import dismiss, surround


@pytest.mark.parametrize(
    ("base", "log", "actor"),
    [(staff.Base, staff.audit_log, staff.Employee), (staff.OwnBase, staff.own_audit_log, staff.Clerk)],
)
def test_no_name_of_an_actor_runs_what_others_made(
    server: URL, new_database: Callable[..., AbstractContextManager[URL]], base: Any, log: Any, actor: Any
) -> None:
    with new_database() as url, opened(url, base, log) as engine:
        values = {"email": "x"} if actor is staff.Employee else {}
        write(engine, actor(id=1, name="Ann", **values))
        with engine.begin() as connection:
            surround(connection)
        with Session(engine) as session:
            assert "Ann" in actor_names(scope_of(log), session, [1, 2])[1]
    dismiss(server)


@pytest.fixture
def surrounded(server: URL, new_database: Callable[..., AbstractContextManager[URL]]) -> Iterator[Shop]:
    with new_database() as url:
        for shop in _shop(url):
            shop.write(Customer(id=1, name="Eva"), Order(id=1, customer_id=1, total=Decimal(1)), reason="import")
            shop.write(Line(order_id=1, code="a", article="pen"))
            shop.change(Customer, 1, name="Eve")
            with shop.engine.begin() as connection:
                surround(connection)
            yield shop
    dismiss(server)


def test_no_command_runs_what_others_made(surrounded: Shop) -> None:
    with Session(surrounded.engine) as session:
        now = str(session.scalar(select(func.clock_timestamp())))
    surrounded.run("history", "customers", "1")
    surrounded.run("history", "lines", '[1, "a"]')
    surrounded.run("log", "--actor", "ann", "--table", "customers", "--verb", "update", "--column", "name")
    surrounded.run("log", "--no-actor", "--table", "gone", code=2)
    surrounded.run("log", "--meta", "reason=import", "--since", "1d", "--until", now, "--transaction", "1")
    surrounded.run("log", "--by-transaction", "--table", "customers")
    surrounded.run("history", "customers", "1", "--diff")
    surrounded.run("who", "customers", "1")
    surrounded.run("who", "lines", '[1, "a"]', "article")
    surrounded.run("show", "1")
    surrounded.run("as-of", "lines", '[1, "a"]', now)
    surrounded.run("stats", "--by", "table", "--by", "actor", "--by", "day")
    surrounded.run("export", "--format", "jsonl", "--since", "1d")
    surrounded.run("undo", "2", "--yes")
    surrounded.run("undo", "3", "--dry-run")
    said = surrounded.run("check", code=1).stdout.splitlines()
    assert [line.partition(" functions in ")[0] for line in said] == ["audit_test_attacker may create"]
