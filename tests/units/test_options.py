"""The options of a table as arguments of its triggers."""

from __future__ import annotations

import pytest
from audit_core.config import Versioned


@pytest.mark.parametrize(
    "versioned",
    [
        Versioned(),
        Versioned(exclude=("a=b", "exclude=c", "d,e'")),
        Versioned(include=("x",), mask=("y", "z"), truncate="rows", require_actor="reject", bypass="reject"),
        Versioned(operations=("delete", "insert")),
    ],
)
def test_options_are_read_back_from_the_arguments_of_triggers(versioned: Versioned) -> None:
    assert Versioned.from_arguments(versioned.arguments) == versioned


@pytest.mark.parametrize("arguments", [["hair"], ["truncate=sometimes"], ["unknown=x"]])
def test_arguments_that_are_not_ours_are_not_guessed_at(arguments: list[str]) -> None:
    assert Versioned.from_arguments(arguments) is None
