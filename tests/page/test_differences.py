"""What a change did, as pieces of text: right, readable and bounded."""

from __future__ import annotations

import random
from typing import Any

import pytest
from audit_core.siblings import Budget, Piece, compare, dump_json
from flask_audit_logger._page.differences import Difference, describe_bytes, differences


def only(old: Any, new: Any, **options: Any) -> Difference:
    (found,) = differences({"c": old}, {"c": new}, "update", **options)
    return found


def sides(pieces: tuple[Piece, ...]) -> tuple[str, str]:
    before = "".join(each.text for each in pieces if each.kind in ("same", "deleted", "moved_away"))
    return before, "".join(each.text for each in pieces if each.kind in ("same", "inserted", "moved_here"))


@pytest.mark.parametrize("seed", range(40))
def test_the_pieces_are_both_texts(seed: int) -> None:
    choice = random.Random(seed)
    old, new = ("".join(choice.choices("ab ,\n", k=choice.randrange(40))) for _ in range(2))
    pieces = compare(old, new, Budget())
    assert pieces is not None
    assert sides(tuple(pieces)) == (old, new)


def test_words_that_changed_are_marked_and_spaces_between_them_join_in() -> None:
    pieces = compare("the quick brown fox jumps", "the slow red fox jumps", Budget())
    assert pieces == [
        Piece("same", "the "),
        Piece("deleted", "quick brown"),
        Piece("inserted", "slow red"),
        Piece("same", " fox jumps"),
    ]


def test_a_paragraph_that_moved_is_said_to_have_moved() -> None:
    moved, rest = "A paragraph that is long enough to be known.\n", "Second.\nThird, which stays.\n"
    pieces = compare(moved + rest, rest + moved, Budget())
    assert pieces == [Piece("moved_away", moved), Piece("same", rest), Piece("moved_here", moved)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a b " * 500, "b a " * 500),
        ("," * 2000, ";," * 1000),
        ("a,b;" * 500, ";b,a" * 500),
        ("x\n" * 1000, "y\nx\n" * 1000),
    ],
)
def test_a_cell_of_2000_characters_takes_a_bounded_number_of_steps(old: str, new: str) -> None:
    budget = Budget()
    found = only(old, new, budget=budget)
    # The last step may be one too many, after which it is given up.
    assert budget.steps >= -2000
    assert found.pieces or (found.old, found.new) == (old[:2000], new[:2000])


def test_the_budget_is_that_of_all_rows() -> None:
    budget = Budget()
    choice = random.Random(1)
    for _ in range(200):
        only("".join(choices(choice)), "".join(choices(choice)), budget=budget)
    assert -20_000 <= budget.steps < Budget().steps / 10


def choices(choice: random.Random) -> list[str]:
    return choice.choices("abc ,", k=2000)


def test_what_is_too_different_is_shown_as_a_whole() -> None:
    found = only(" ".join(map(str, range(1000))), " ".join(map(str, range(5000, 6000))))
    assert found.pieces == ()
    assert found.old is not None
    assert found.old.startswith("0 1 2")
    assert found.is_long


def test_what_both_have_is_folded() -> None:
    found = only("start " * 1000 + "old" + " end" * 1000, "start " * 1000 + "new" + " end" * 1000)
    assert [(each.kind, each.text) for each in found.pieces if each.kind != "same"] == [
        ("deleted", "old"),
        ("inserted", "new"),
    ]
    assert sum(each.folded + len(each.text) + len(each.end) for each in found.pieces if each.kind == "same") == 10_000
    assert all(len(each.text) <= 300 for each in found.pieces)


def test_a_change_at_the_end_of_a_repetition_is_found() -> None:
    found = only("word " * 500_000, "word " * 500_000 + "new")
    assert [each.text for each in found.pieces if each.kind == "inserted"] == ["new"]


def test_strings_within_json_are_compared_by_word() -> None:
    old = {"body": {"text": "A sentence that is long enough to be compared, word by word, with the other."}}
    new = {"body": {"text": old["body"]["text"].replace("long", "short")}}
    found = only(old, new)
    assert found.path == "c $.body.text"
    assert [each.text for each in found.pieces if each.kind != "same"] == ["long", "short"]


def test_bytes_are_described_by_kind_size_and_hash() -> None:
    png = "\\x" + (b"\x89PNG" + bytes(1000)).hex()
    found = only("\\x00", png, binary={"c"})
    assert found.old is not None
    assert found.new is not None
    assert found.old.startswith("binary, 1 byte, SHA-256 6e340b9cffb37a98")
    assert found.new.startswith("PNG image, 1,004 bytes, SHA-256 ")
    assert describe_bytes("***") == "***"


def test_bytes_that_are_null_say_so() -> None:
    assert only(None, "\\x00", binary={"c"}).old == "null"
    assert only("\\x00", None, binary={"c"}).new == "null"
    (inserted,) = differences({}, {"c": None}, "insert", {"c"})
    assert (inserted.old, inserted.new) == (None, "null")
    (deleted,) = differences({"c": None}, {}, "delete", {"c"})
    assert (deleted.old, deleted.new) == ("null", None)


def test_a_long_insert_is_folded() -> None:
    (found,) = differences({}, {"c": "word " * 200}, "insert")
    assert found.is_long
    assert not only("short", "also short").is_long


def places(old: Any, new: Any) -> list[tuple[str, str | None, str | None]]:
    return [(each.path, each.old, each.new) for each in differences({"c": old}, {"c": new}, "update")]


def test_an_item_in_front_of_a_list_is_one_that_was_added() -> None:
    items = [{"id": number, "name": f"item {number}"} for number in range(50)]
    first = {"id": 99, "name": "first"}
    assert places(items, [first, *items]) == [("c $[0]", None, dump_json(first))]
    assert places([first, *items], items) == [("c $[0]", dump_json(first), None)]
    assert places(items, [*items[:7], *items[9:]]) == [(f"c $[{at}]", dump_json(items[at]), None) for at in (7, 8)]


def test_an_item_that_changed_is_found_beside_one_that_was_added() -> None:
    old = [{"id": 1, "price": 5}, {"id": 2, "price": 6}]
    new = [{"id": 3, "price": 7}, {"id": 1, "price": 8}, {"id": 2, "price": 6}]
    assert places(old, new) == [("c $[0]", None, dump_json(new[0])), ("c $[1].price", "5", "8")]
    assert places(new, old) == [("c $[0]", dump_json(new[0]), None), ("c $[0].price", "8", "5")]


def test_items_that_only_look_alike_to_python_differ() -> None:
    assert places([1, 2], [True, 2]) == [("c $[0]", "1", "true")]
    assert places([], [None]) == [("c $[0]", None, "null")]


def test_lists_with_nothing_in_common_take_a_bounded_number_of_steps() -> None:
    budget = Budget()
    found = list(differences({"c": list(range(3000))}, {"c": list(range(5000, 9000))}, "update", budget=budget))
    assert budget.steps >= -2000
    assert found[-1].note == "only the first 100 places that differ are shown"
