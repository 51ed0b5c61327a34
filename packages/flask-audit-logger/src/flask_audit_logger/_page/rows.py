"""Rows that were added or deleted one after the other, as one table with a line for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from audit_core.siblings import Scope, table_of

from .differences import Difference
from .loading import is_digest, is_loaded

#: Fewer rows stand one below the other, as changes do.
_FEWEST = 3
#: So many columns have room beside each other; a line opens to the others.
_COLUMNS = 6
#: A longer value is folded.
_LONGEST = 80
_VERBS = ("insert", "delete", "snapshot")


@dataclass(frozen=True)
class Cell:
    """What a row has in a column."""

    column: str
    text: str
    note: str
    #: Whether it is better folded.
    is_long: bool


@dataclass(frozen=True)
class Line:
    """A row: what stands beside each other, None where it has no such column, and what stands behind."""

    activity: Any
    cells: Sequence[Cell | None]
    more: Sequence[Cell]


@dataclass(frozen=True)
class Rows:
    """Activities that did the same to rows of one table."""

    activities: Sequence[Any]
    columns: Sequence[str] = ()
    #: What all rows have in common.
    common: Sequence[Cell] = ()
    #: Empty if the activities better stand one below the other.
    lines: Sequence[Line] = ()


def in_rows(
    scope: Scope, activities: Iterable[Any], differences: Callable[[Any], Iterable[Difference]]
) -> Iterator[Rows]:
    """Put activities together that follow each other and did the same to rows of one table."""
    for (schema, table_name, _), group in groupby(activities, _place):
        own = list(group)
        if len(own) < _FEWEST or own[0].verb not in _VERBS or not all(_is_row(each) for each in own):
            yield from (Rows([each]) for each in own)
        else:
            yield _rows(own, _shown_by_the_key(scope, schema, table_name), differences)


def _place(activity: Any) -> tuple[str, str, str]:
    return activity.schema, activity.table_name, activity.verb


def _is_row(activity: Any) -> bool:
    return is_loaded(activity) and activity.row_key is not None and not is_digest(activity.row_key)


def _shown_by_the_key(scope: Scope, schema: str, table_name: str) -> Sequence[str]:
    table = table_of(scope, schema, table_name)
    key = () if table is None else tuple(table.primary_key.columns)
    return [each.name for each in key] if len(key) == 1 else []


def _rows(
    activities: Sequence[Any], hidden: Sequence[str], differences: Callable[[Any], Iterable[Difference]]
) -> Rows:
    found = []
    for activity in activities:
        cells = [_cell(each, activity.verb) for each in differences(activity)]
        found.append({each.column: each for each in cells if each.column not in hidden})
    names = list(dict.fromkeys(name for row in found for name in row))
    common = [name for name in names if all(name in row and row[name] == found[0][name] for row in found)]
    others = [name for name in names if name not in common]
    beside, behind = others[:_COLUMNS], others[_COLUMNS:]
    lines = [
        Line(activity, [row.get(name) for name in beside], [row[name] for name in behind if name in row])
        for activity, row in zip(activities, found, strict=True)
    ]
    return Rows(activities, beside, [found[0][name] for name in common], lines)


def _cell(difference: Difference, verb: str) -> Cell:
    text = (difference.old if verb == "delete" else difference.new) or ""
    return Cell(difference.path, text, difference.note, len(text) > _LONGEST)
