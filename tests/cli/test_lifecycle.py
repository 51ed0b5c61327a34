"""``partitions``, ``retain`` and ``hold`` keep the trail as long as is said."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.cli.conftest import Shop
from tests.cli.shop import Customer


@pytest.fixture
def old_shop(own_shop: Shop) -> Shop:
    """A shop with a closed partition of three years ago."""
    own_shop.write(Customer(id=1, name="Eva"), Customer(id=2, name="Max"))
    own_shop.run("partitions", "--split", "--at-once")
    with own_shop.engine.begin() as connection:
        connection.execute(text("SET LOCAL audit_logger.maintenance = on"))
        for table, columns in (
            ("activity", ("issued_at",)),
            ("transaction", ("issued_at",)),
            ("activity_coverage", ("issued_at",)),
            ("activity_partition", ("first_issued_at", "last_issued_at")),
        ):
            moved = ", ".join(f"{each} = {each} - interval '3 years'" for each in columns)
            connection.execute(text(f"UPDATE {table} SET {moved}"))
    own_shop.change(Customer, 2, name="Moritz")
    return own_shop


def test_partitions_are_listed(old_shop: Shop) -> None:
    heading, closed, open_ = old_shop.run("partitions").stdout.splitlines()
    assert heading.split() == ["partition", "first", "last", "rows", "bytes", "held", "archived"]
    assert closed.split()[0] == "activity_p0001"
    assert closed.split()[3] == "2"
    assert open_.startswith("activity_open (open)")
    found = old_shop.object("partitions")["partitions"]
    assert [(each["name"], each["is_open"], each["is_held"]) for each in found] == [
        ("activity_p0001", False, False),
        ("activity_open", True, False),
    ]


def test_splitting_every_night_makes_a_partition_a_month(old_shop: Shop) -> None:
    # The open one begins three years ago, with the activity that says that the first one was closed.
    for _ in range(2):
        names = [each["name"] for each in old_shop.object("partitions", "--split")["partitions"]]
        assert names == ["activity_p0001", "activity_p0002", "activity_open"]
    assert "needs --split" in old_shop.run("partitions", "--at-once", code=2).stderr


def test_what_is_older_goes(old_shop: Shop) -> None:
    (planned,) = old_shop.object("retain", "--keep", "2y", "--dry-run")["removed"]
    result = old_shop.run("retain", "--keep", "2y")
    heading, line = result.stdout.splitlines()
    assert heading.split() == ["removed", "rows", "held", "bytes", "since", "until"]
    assert line.split()[:4] == ["activity_p0001", "2", "0", str(planned["bytes"])]
    assert old_shop.run("retain", "--keep", "2y").stderr == "Nothing is old enough to be removed.\n"
    assert [line for line in old_shop.run("log").stdout.splitlines() if " insert " in line] == []
    assert "keep is '2'" in old_shop.mistake("retain", "--keep", "2")


def test_the_rows_of_which_nothing_is_left_can_be_recorded(old_shop: Shop) -> None:
    old_shop.run("retain", "--keep", "2y")
    assert "it has not changed since" in old_shop.mistake("as-of", "customers", "1", "1d")
    old_shop.run("retain", "--keep", "2y", "--snapshot")
    assert "Eva" in old_shop.run("as-of", "customers", "1", "1d").stdout
    assert "Max" in old_shop.run("as-of", "customers", "2", "1d").stdout


def test_what_is_held_stays(old_shop: Shop) -> None:
    heading, line = old_shop.run(
        "hold", "add", "--table", "customers", "--key", "1", "--reason", "case 17"
    ).stdout.splitlines()
    assert heading.split() == ["hold", "since", "table", "record", "actor", "from", "until", "by", "released", "reason"]
    assert [line.split()[0], *line.split()[2:4]] == ["1", "public.customers", "1"]
    (removed,) = old_shop.object("retain", "--keep", "2y")["removed"]
    assert (removed["rows"], removed["held"]) == (1, 1)
    assert len(old_shop.run("history", "customers", "1").stdout.splitlines()) == 2
    assert [each["reason"] for each in old_shop.object("hold", "list")["holds"]] == ["case 17"]
    assert old_shop.object("partitions")["partitions"][0]["is_held"]
    old_shop.run("hold", "release", "1")
    assert old_shop.run("hold", "list").stderr == "Nothing is held.\n"
    assert len(old_shop.object("hold", "list", "--released")["holds"]) == 1
    old_shop.run("retain", "--keep", "2y")
    assert "There is no hold 1 that is in force" in old_shop.mistake("hold", "release", "1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--reason", "x"), "at least one of table, actor, since and until"),
        (("--reason", "x", "--key", "1"), "--key needs --table"),
        (("--reason", " ", "--table", "customers"), "say why"),
        (("--reason", "x", "--table", "nothing"), "No table 'nothing' is audited"),
        (("--reason", "x", "--table", "customers", "--key", "one"), "not a primary key"),
    ],
)
def test_a_hold_that_cannot_be_meant_is_refused(own_shop: Shop, arguments: tuple[str, ...], message: str) -> None:
    assert message in own_shop.mistake("hold", "add", *arguments)
