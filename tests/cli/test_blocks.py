"""``log --by-transaction``: who, when, why and from where, with the changes under it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from tests.cli.conftest import Shop
from tests.cli.shop import Customer
from tests.cli.test_output import on_terminal


@pytest.fixture(scope="module")
def told(shared_shop: Shop) -> Shop:
    """A shop with an import of many rows, a change, and a write by hand."""
    shared_shop.write(*(Customer(id=each, name="x") for each in range(1, 31)), reason="import", source="csv")
    shared_shop.write(Customer(id=31, name="Eva"), actor="ben", client_addr="192.0.2.7")
    with shared_shop.engine.begin() as connection:
        connection.execute(text("SET LOCAL application_name = 'nepal.py'"))
        connection.execute(text("UPDATE customers SET name = 'Eve' WHERE id IN (1, 31)"))
    return shared_shop


def test_each_transaction_is_a_block_newest_first(told: Shop) -> None:
    by_hand, ben, imported = told.run("log", "--by-transaction").stdout.split("\n\n")
    head = dict(line.split(maxsplit=1) for line in ben.splitlines()[:4])
    assert (head["transaction"], head["who"], head["from"]) == ("2", "ben", "192.0.2.7 as postgres")
    changes = [line.split()[:3] for line in by_hand.splitlines()[-2:]]
    assert changes == [["update", "customers", key] for key in ("31", "1")]
    assert "from         postgres, nepal.py" in by_hand
    assert "why          import\n" in imported
    assert 'meta         {"source": "csv"}' in imported
    assert imported.count("insert") == 10
    assert imported.endswith("  … and 20 more: audit-log show 1\n")


def test_filters_choose_changes_and_the_limit_counts_transactions(told: Shop) -> None:
    assert told.run("log", "--by-transaction", "--verb", "update").stdout.count("transaction") == 1
    assert told.run("log", "--by-transaction", "--limit", "2").stdout.count("transaction") == 2
    (block,) = told.lines("log", "--by-transaction", "--actor", "ann")
    assert (block["actor_id"], block["meta"]) == ("ann", {"reason": "import", "source": "csv"})
    assert len(block["activities"]) == 10
    assert (block["more"], block["more_is_exact"]) == (20, True)


def test_of_very_many_changes_not_all_are_counted(told: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit_core.cli.blocks._COUNTED", 25)
    assert "  … and more than 15 others: audit-log show 1\n" in told.run("log", "--by-transaction").stdout
    assert told.lines("log", "--by-transaction", "--actor", "ann")[0]["more_is_exact"] is False


def test_a_terminal_has_verbs_in_colours(told: Shop) -> None:
    assert "\x1b[33mupdate\x1b[0m" in on_terminal(told, "log", "--by-transaction", "--verb", "update")


def test_transactions_that_took_turns_are_two_blocks(own_shop: Shop) -> None:
    with own_shop.engine.connect() as one, own_shop.engine.connect() as other:
        for number, connection in enumerate((one, other, one, other)):
            connection.execute(text("INSERT INTO customers (id, name) VALUES (:id, 'x')"), {"id": number})
        one.commit()
        other.commit()
    blocks = own_shop.lines("log", "--by-transaction")
    assert [[each["row_key"] for each in block["activities"]] for block in blocks] == [["3", "1"], ["2", "0"]]


def test_many_blocks_take_as_many_queries_as_one(own_shop: Shop) -> None:
    asked: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        numbers = [own_shop.write(Customer(id=each, name="x"), actor=f"a{each}") for each in range(30)]
        asked.clear()
        (one,) = own_shop.lines("log", "--by-transaction", "--limit", "1")
        of_one = len(asked)
        asked.clear()
        blocks = own_shop.lines("log", "--by-transaction", "--limit", "40")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert [each["transaction_id"] for each in blocks] == numbers[::-1]
    assert blocks[0] == one
    assert len(asked) == of_one


@pytest.mark.parametrize("option", [["--follow"], ["--archive"], ["--after", "3"]])
def test_what_it_does_not_take_is_a_mistake(told: Shop, option: list[str]) -> None:
    assert "--by-transaction takes neither" in told.mistake("log", "--by-transaction", *option)


def test_nothing_is_no_block(told: Shop) -> None:
    assert told.run("log", "--by-transaction", "--actor", "nix").output == "Nothing is recorded of this kind.\n"
