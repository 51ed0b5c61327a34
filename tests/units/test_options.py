"""The options of a table as arguments of its triggers."""

from __future__ import annotations

import pytest
from audit_core.options import TableOptions


@pytest.mark.parametrize(
    "versioned",
    [
        TableOptions(),
        TableOptions(exclude=("a=b", "exclude=c", "d,e'")),
        TableOptions(include=("x",), mask=("y", "z"), truncate="rows", require_actor="reject", bypass="reject"),
        TableOptions(operations=("delete", "insert")),
        TableOptions(store="changes"),
    ],
)
def test_options_are_read_back_from_the_arguments_of_triggers(versioned: TableOptions) -> None:
    assert TableOptions.from_arguments(versioned.arguments) == versioned


@pytest.mark.parametrize("arguments", [["hair"], ["truncate=sometimes"], ["unknown=x"]])
def test_arguments_that_are_not_ours_are_not_guessed_at(arguments: list[str]) -> None:
    assert TableOptions.from_arguments(arguments) is None
