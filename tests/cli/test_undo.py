"""``undo`` shows what it takes to take a transaction back, asks, and does it."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.cli.conftest import Shop
from tests.cli.shop import Customer


def name_of(shop: Shop, key: int) -> str:
    with Session(shop.engine) as session:
        return session.get_one(Customer, key).name


def test_a_dry_run_shows_the_steps_and_changes_nothing(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="Eva"))
    renamed = own_shop.change(Customer, 1, name="Eve")
    shown = own_shop.run("undo", str(renamed), "--dry-run").stdout.splitlines()
    assert [line.split()[1:] for line in shown] == [
        ["step", "table", "key", "columns"],
        ["update", "customers", "1", "name"],
    ]
    assert name_of(own_shop, 1) == "Eve"
    assert len(own_shop.lines("log")) == 2


def test_it_asks_first_and_no_is_an_answer(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="Eva"))
    renamed = own_shop.change(Customer, 1, name="Eve")
    refused = own_shop.run("undo", str(renamed), input="n\n", code=1)
    assert "Take these changes back? [y/N]" in refused.stderr
    assert name_of(own_shop, 1) == "Eve"
    own_shop.run("undo", str(renamed), input="y\n")
    assert name_of(own_shop, 1) == "Eva"


def test_it_says_who_took_what_back_and_why(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="Eva"))
    renamed = own_shop.change(Customer, 1, name="Eve")
    printed = own_shop.run("undo", str(renamed), "--yes", "--actor", "zoe", "--reason", "a typing error").stdout
    last = own_shop.lines("log", "--limit", "1")[0]
    assert last["actor_id"] == "zoe"
    assert last["meta"] == {"undoes": renamed, "reason": "a typing error"}
    assert printed.splitlines()[-1] == f"Transaction {renamed} is undone by transaction {last['transaction_id']}."


def test_an_undo_can_be_undone_and_not_be_done_twice(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="Eva"))
    renamed = own_shop.change(Customer, 1, name="Eve")
    undone = own_shop.object("undo", str(renamed), "--yes")["undone_by"]
    assert f"was undone by transaction {undone} already" in own_shop.mistake("undo", str(renamed), "--yes")
    own_shop.run("undo", str(undone), "--yes")
    assert name_of(own_shop, 1) == "Eve"


def test_a_conflict_is_the_answer_no(own_shop: Shop) -> None:
    added = own_shop.write(Customer(id=1, name="Eva"), Customer(id=2, name="Tom"))
    own_shop.change(Customer, 1, name="Eve")
    for command in (["--dry-run"], ["--yes"]):
        shown = own_shop.run("undo", str(added), *command, code=1).stdout
        assert "changed" in shown
    assert len(own_shop.lines("log")) == 3
    described = own_shop.object("undo", str(added), "--yes", code=1)
    assert [each["kind"] for each in described["conflicts"]] == ["changed"]
    assert described["undone_by"] is None


def test_what_is_in_conflict_can_be_left_out(own_shop: Shop) -> None:
    added = own_shop.write(Customer(id=1, name="Eva"), Customer(id=2, name="Tom"))
    own_shop.change(Customer, 1, name="Eve")
    own_shop.run("undo", str(added), "--yes", "--on-conflict", "skip")
    with Session(own_shop.engine) as session:
        assert session.get(Customer, 2) is None
        assert session.get_one(Customer, 1).name == "Eve"


def test_columns_can_be_left_as_they_are(own_shop: Shop) -> None:
    added = own_shop.write(Customer(id=1, name="Eva"))
    own_shop.change(Customer, 1, name="Eve")
    own_shop.run("undo", str(added), "--yes", code=1)
    for unknown in ("color", "orders.name"):
        assert own_shop.mistake("undo", str(added), "--ignore", unknown) == (
            f"Error: {unknown!r} cannot be ignored: it is not a column of an audited table."
        )
    own_shop.run("undo", str(added), "--dry-run", "--ignore", "customers.name", "--ignore", "total")
    own_shop.run("undo", str(added), "--yes", "--ignore", "name")
    with Session(own_shop.engine) as session:
        assert session.get(Customer, 1) is None


def test_an_unknown_transaction_is_a_mistake(shared_shop: Shop) -> None:
    assert shared_shop.mistake("undo", "4711", "--dry-run") == "Error: There is no transaction 4711 in the trail."


def test_details_of_a_refusal_are_not_shown(own_shop: Shop) -> None:
    """They quote whole rows, what is masked in them, too."""
    added = own_shop.write(Customer(id=1, name="Eva", ssn="secret-1"))
    with own_shop.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE 'Nobody goes' USING DETAIL = OLD.ssn; END $$"
            )
        )
        connection.execute(text("CREATE TRIGGER keep BEFORE DELETE ON customers FOR EACH ROW EXECUTE FUNCTION keep()"))
    assert own_shop.mistake("undo", str(added), "--yes") == "Error: The database refuses: Nobody goes"
    with own_shop.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER keep ON customers"))
        connection.execute(text("CREATE TABLE notes (customer int REFERENCES customers DEFERRABLE INITIALLY DEFERRED)"))
        connection.execute(text("INSERT INTO notes VALUES (1)"))
    shown = own_shop.run("undo", str(added), "--dry-run", code=1).stdout
    assert 'the foreign key "notes_customer_fkey" of notes (customer) prevents it (SQLSTATE 23503)' in shown
    assert "secret" not in shown
