"""``history``, ``log``, ``show`` and ``as-of`` answer what a person asks of the trail."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import text

from tests.cli.conftest import Shop
from tests.cli.shop import Customer, Line, Order

EXACT = "12345678901234567890.12345678901234567890"


@pytest.fixture(scope="module")
def told(shared_shop: Shop) -> Shop:
    """A shop in which Ann added a customer and an order, Ben renamed one and Ann deleted the other."""
    shared_shop.write(
        Customer(id=1, name="Eva", ssn="078-05-1120"),
        Order(id=1, customer_id=1, total=Decimal(EXACT)),
        Line(order_id=1, code="a", article="pen"),
        reason="import",
        client_addr="192.0.2.7",
    )
    shared_shop.change(Customer, 1, actor="ben", name="Eve")
    shared_shop.delete(Order, 1)
    shared_shop.write(Customer(id=2, name="Tom"), actor=None)
    return shared_shop


def test_history_says_who_changed_what_newest_first(told: Shop) -> None:
    heading, newest, oldest = told.run("history", "customers", "1").stdout.splitlines()
    assert heading.split() == ["id", "time", "transaction", "actor", "verb", "table", "key", "changes"]
    assert newest.split()[3:] == ["ben", "update", "customers", "1", "name:", "Eva", "→", "Eve"]
    assert oldest.split()[3:7] == ["ann", "insert", "customers", "1"]
    assert "name: Eva" in oldest


def test_history_takes_a_composite_key_as_the_trail_writes_it(told: Shop) -> None:
    found = told.lines("history", "lines", '[1, "a"]')
    assert [each["verb"] for each in found] == ["delete", "insert"]
    assert {each["row_key"] for each in found} == {'[1, "a"]'}


def test_history_can_be_limited_and_widened_to_rows_that_referenced_it(told: Shop) -> None:
    assert len(told.lines("history", "customers", "1", "--limit", "1")) == 1
    related = told.lines("history", "customers", "1", "--related")
    assert {each["table"] for each in related} == {"customers", "orders"}


def test_an_activity_has_one_shape_in_json(told: Shop) -> None:
    activity = told.lines("history", "customers", "1", "--limit", "1")[0]
    assert isinstance(activity.pop("id"), int)
    assert isinstance(activity.pop("transaction_id"), int)
    assert activity.pop("issued_at").endswith("+00:00")
    assert activity == {
        "actor_id": "ben",
        "actor": None,
        "client_addr": None,
        "db_user": "postgres",
        "application_name": "",
        "meta": None,
        "verb": "update",
        "schema": "public",
        "table": "customers",
        "row_key": "1",
        "old_data": {"id": 1, "name": "Eva", "ssn": "***"},
        "changed_data": {"name": "Eve"},
        "delta_depth": None,
        "masked": ["ssn"],
        "erased": [],
        "changes": {"name": {"old": "Eva", "new": "Eve"}},
    }


@pytest.mark.parametrize(
    ("table", "key", "message"),
    [
        ("customer", "1", "No table 'customer' is audited; the audited tables are 'customers', 'lines', 'orders'."),
        ("unaudited", "1", "No table 'unaudited' is audited"),
        ("customers", "77", "Nothing is recorded of 'customers' '77'."),
        ("customers", "x", "'x' is not a primary key of table 'customers', which is id."),
        ("lines", "1", "'1' is not a primary key of table 'lines': write a JSON array of its columns, [order_id,"),
    ],
)
def test_an_unknown_table_or_key_is_a_mistake(told: Shop, table: str, key: str, message: str) -> None:
    assert told.mistake("history", table, key).startswith(f"Error: {message}")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ["insert", "delete", "delete", "update", "insert", "insert", "insert"]),
        (["--actor", "ben"], ["update"]),
        (["--actor", "nobody"], []),
        (["--no-actor"], ["insert"]),
        (["--table", "customers"], ["insert", "update", "insert"]),
        (["--verb", "update", "--verb", "delete"], ["delete", "delete", "update"]),
        (["--table", "customers", "--column", "name"], ["insert", "update", "insert"]),
        (["--meta", "reason=import", "--verb", "insert"], ["insert", "insert", "insert"]),
        (["--meta", 'reason="other"'], []),
        (["--since", "1h", "--actor", "ben"], ["update"]),
        (["--until", "1h"], []),
        (["--limit", "2"], ["insert", "delete"]),
    ],
)
def test_log_chooses(told: Shop, filters: list[str], expected: list[str]) -> None:
    assert [each["verb"] for each in told.lines("log", *filters)] == expected


def test_log_chooses_a_transaction_and_goes_on_after_a_page(told: Shop) -> None:
    everything = [each["id"] for each in told.lines("log")]
    assert [each["id"] for each in told.lines("log", "--after", str(everything[2]))] == everything[3:]
    first = told.lines("log")[-1]["transaction_id"]
    assert [each["id"] for each in told.lines("log", "--transaction", str(first))] == everything[4:]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "nix"], "No table 'nix' is audited"),
        (["--table", "orders", "--column", "nix"], "'nix' is not a column of 'orders'; its columns are"),
        (["--transaction", "4711"], "There is no transaction 4711 in the trail."),
        (["--since", "yesterday"], "'yesterday' is not a time. Write"),
        (["--since", "1h", "--until", "2h"], "since is "),
        (["--actor", "a", "--no-actor"], "--actor and --no-actor exclude each other."),
        (["--meta", "reason"], "--meta is 'reason'; write NAME=VALUE."),
        (["--follow", "--until", "1h"], "--follow has no end and no pages"),
    ],
)
def test_log_says_what_is_wrong_with_a_filter(told: Shop, arguments: list[str], message: str) -> None:
    assert told.mistake("log", *arguments).startswith(f"Error: {message}")


def test_log_that_finds_nothing_is_no_mistake(told: Shop) -> None:
    result = told.run("log", "--actor", "nobody")
    assert (result.stdout, result.stderr) == ("", "Nothing is recorded of this kind.\n")


def test_log_knows_a_table_that_is_gone(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="Eva"))
    with own_shop.engine.begin() as connection:
        connection.execute(text("SET LOCAL audit_logger.maintenance = on"))
        connection.execute(text("UPDATE activity SET table_name = 'clients'"))
    assert len(own_shop.lines("log", "--table", "clients")) == 1


def test_show_says_who_from_where_why_and_all_changes(told: Shop) -> None:
    first = told.lines("log")[-1]["transaction_id"]
    shown = told.run("show", str(first)).stdout
    head, changes = shown.split("\n\n")
    said = dict(line.split(maxsplit=1) for line in head.splitlines() if " " in line)
    assert said["actor"] == "ann"
    assert said["client_addr"] == "192.0.2.7"
    assert said["db_user"] == "postgres"
    assert said["meta"] == '{"reason": "import"}'
    assert [line.split()[4:6] for line in changes.splitlines()[1:]] == [
        ["insert", "customers"],
        ["insert", "orders"],
        ["insert", "lines"],
    ]
    described = told.object("show", str(first))
    assert described["meta"] == {"reason": "import"}
    assert [each["table"] for each in described["activities"]] == ["customers", "orders", "lines"]


def test_show_of_an_unknown_transaction_is_a_mistake(told: Shop) -> None:
    assert told.mistake("show", "4711") == "Error: There is no transaction 4711 in the trail."


def test_as_of_shows_the_row_as_it_was(told: Shop) -> None:
    added = told.lines("history", "customers", "1")[-1]["issued_at"]
    result = told.run("as-of", "customers", "1", added)
    assert [line.split() for line in result.stdout.splitlines()] == [["id", "1"], ["ssn", "***"], ["name", "Eva"]]
    assert result.stderr == 'Note: "ssn" is masked\n'
    now = told.object("as-of", "customers", "1", "0m")
    assert now["row"] == {"id": 1, "name": "Eve", "ssn": "***"}
    assert now["notes"] == ['"ssn" is masked']


def test_as_of_answers_no_for_a_row_that_was_gone(told: Shop) -> None:
    assert told.run("as-of", "orders", "1", "0m", code=1).stdout.startswith("'orders' '1' was gone at ")
    assert told.object("as-of", "orders", "1", "0m", code=1)["row"] is None


def test_as_of_says_when_the_history_begins(told: Shop) -> None:
    assert "The history of 'orders' 1 begins at" in told.mistake("as-of", "orders", "1", "2h")
    assert "which is in the future" in told.mistake("as-of", "orders", "1", "2999-01-01")


def test_numbers_keep_their_digits(told: Shop) -> None:
    added = told.lines("history", "orders", "1")[-1]["issued_at"]
    for command in (("history", "orders", "1"), ("as-of", "orders", "1", added)):
        assert EXACT in told.run(*command).stdout
        assert f'"total": {EXACT}' in told.run(*command, "--json").stdout
