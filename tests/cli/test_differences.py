"""``history --diff`` shows what changed, word by word in long texts, in a time that is bounded."""

from __future__ import annotations

import pytest
from audit_core.cli import differences
from audit_core.cli.differences import difference
from audit_core.siblings import Budget, Piece, compare

from tests.cli.conftest import Shop
from tests.cli.shop import Customer
from tests.cli.test_output import on_terminal

TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps under the old oak."


def shown(old: object, new: object, is_cut: bool = False) -> list[str]:
    return list(difference("update", {"body": (old, new)}, is_cut))


def test_short_values_are_lines_that_went_and_came() -> None:
    assert shown("a", "b") == ["- body: a", "+ body: b"]
    assert shown(None, 1) == ["- body: null", "+ body: 1"]
    assert list(difference("insert", {"body": (None, "x")}, False)) == ["+ body: x"]
    assert list(difference("delete", {"body": ("x", None)}, False)) == ["- body: x"]


def test_words_of_a_long_text_are_marked() -> None:
    assert shown(TEXT, TEXT.replace("quick", "slow").replace("old ", "")) == [
        "~ body:",
        "  The [-quick-]{+slow+} brown fox jumps over the lazy dog, and then it sleeps under the[- old-] oak.",
    ]


def test_lines_are_kept_apart() -> None:
    old = "first line\nsecond line\nthird line\n"
    assert shown(old, "first line\nthird line\nfourth line\n") == [
        "~ body:",
        "  first line",
        "  [-second line-]",
        "  third line",
        "  {+fourth line+}",
    ]


def test_unchanged_stretches_are_folded_where_values_are_cut() -> None:
    old = f"{'a ' * 500}old {'b ' * 500}old {'c ' * 500}"
    new = old.replace("old", "new", 1)
    (_, line) = shown(old, new, is_cut=True)
    assert line.strip().startswith("…")
    assert "[-old-]{+new+}" in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a b " * 500, "b a " * 500),
        ("x" * 2000, "y" * 2000),
        ("-" * 2000, "- " * 1000),
        ("a\n" * 3000, "b\na\n" * 3000),
        ("word " * 100_000, "other " * 100_000),
        (("same\n" + "a b c " * 100 + "\n") * 100, ("same\n" + "c b a " * 100 + "\n") * 100),
    ],
)
def test_what_would_take_long_is_replaced_as_a_whole(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is counted: so many steps are taken, and then no more."""
    budgets: list[Budget] = []

    def counted(one: str, other: str, budget: Budget) -> list[Piece] | None:
        budgets.append(budget)
        return compare(one, other, budget)

    monkeypatch.setattr(differences, "compare", counted)
    lines = shown(old, new)
    (budget,) = budgets
    # The last step may be one too many, after which it is given up.
    assert budget.steps > -len(old)
    assert any(mark in line for line in lines for mark in ("[-", "{+"))


def test_the_ends_of_what_was_replaced_are_kept() -> None:
    old, new = (" ".join(map(str, range(first, first + 1000))) for first in (0, 5000))
    (_, line) = shown(f"Dear Ann, {old}. Yours, Ben", f"Dear Ann, {new}. Yours, Ben", is_cut=True)
    assert line.startswith("  Dear Ann, [-0 1 2")
    assert line.endswith(". Yours, Ben")


def test_history_shows_differences(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name=TEXT))
    own_shop.change(Customer, 1, name=TEXT.replace("fox", "\x1b[31mcat"), ssn="1")
    lines = own_shop.run("history", "customers", "1", "--diff").stdout.splitlines()
    assert "    ~ name:" in lines
    assert any("[-fox-]{+\\x1b[31mcat+} jumps" in line for line in lines)
    assert "    + id: 1" in lines
    terminal = on_terminal(own_shop, "history", "customers", "1", "--diff")
    assert "\x1b[31m[-fox-]\x1b[0m" in terminal
    assert "\x1b[32m+ id: 1\x1b[0m" in terminal
    assert "exclude each other" in own_shop.mistake("history", "customers", "1", "--diff", "--json")
