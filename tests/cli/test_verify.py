"""``audit-log verify``: was anything changed without being recorded?"""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from tests.cli.conftest import Shop
from tests.cli.shop import Customer, Order
from tests.cli.test_output import on_terminal


def as_replica(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
        connection.exec_driver_sql(statement)


@pytest.fixture
def shop(own_shop: Shop) -> Shop:
    own_shop.write(Customer(id=1, name="Ann", ssn="1"), Customer(id=2, name="Bob"), Order(id=1, customer_id=1, total=5))
    own_shop.change(Customer, 1, name="Anna")
    return own_shop


def test_all_is_well(shop: Shop) -> None:
    result = shop.run("verify")
    assert (result.stdout, result.stderr) == ("", "Nothing was changed without being recorded.\n")
    assert shop.lines("verify") == []


def test_what_is_wrong_is_named(shop: Shop) -> None:
    last = shop.last().id
    as_replica(shop.engine, "UPDATE customers SET name = 'Eve', ssn = '2' WHERE id = 1")
    as_replica(shop.engine, "DELETE FROM orders")
    customer = f"customers 1: the row has other values of 'name' than activity {last} (update) left."
    found = shop.run("verify", code=1).stdout.splitlines()
    assert found[0] == f"changed: {customer}"
    assert found[1].startswith("vanished: orders 1: the row is gone, and activity ")
    result = shop.run("verify", "--table", "customers", "--json", code=1)
    assert result.stderr == ""
    assert shop.object("verify", "--table", "customers", code=1) == {
        "kind": "changed",
        "table": "customers",
        "row_key": "1",
        "columns": ["name"],
        "before": last,
        "after": None,
        "message": customer,
        "is_failure": True,
    }
    assert shop.run("verify", "--table", "lines").stdout == ""


def test_since(shop: Shop) -> None:
    as_replica(shop.engine, "UPDATE customers SET name = 'Eve' WHERE id = 1")
    shop.change(Customer, 1, name="Anna")
    shop.change(Customer, 2, name="Rob")
    assert shop.run("verify", code=1).stdout.startswith("break: customers 1: activity ")
    shop.run("verify", "--since", shop.shown_at())


def test_what_was_kept_out_is_said_and_no_failure(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL audit_logger.enabled = off")
        connection.exec_driver_sql("UPDATE customers SET name = 'Eve' WHERE id = 1")
    assert shop.run("verify").stdout.startswith("unrecorded: customers 1: ")


def test_mistakes(shop: Shop) -> None:
    assert "No table 'nothing' is audited" in shop.mistake("verify", "--table", "nothing")
    assert "'x' is not a time" in shop.mistake("verify", "--since", "x")


def test_progress_is_for_a_terminal(shop: Shop) -> None:
    assert "Verifying" in on_terminal(shop, "verify")
