"""Changes of the same kind that follow each other, as one table with a line for each row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from audit_core.siblings import Scope, table_of

from .differences import Difference
from .loading import STATES, is_digest, is_loaded

#: Fewer rows stand one below the other, as changes do.
_FEWEST = 3
#: So many columns have room beside each other; a line opens to the others.
_COLUMNS = 6
#: A longer value is folded.
LONGEST = 80


@dataclass(frozen=True)
class Line:
    """A row: what stands beside each other, None where it has no such column, and what stands behind."""

    activity: Any
    cells: Sequence[Difference | None]
    more: Sequence[Difference]


@dataclass(frozen=True)
class Rows:
    """Activities that did the same to rows of one table."""

    activities: Sequence[Any]
    columns: Sequence[str] = ()
    #: What all rows have in common.
    common: Sequence[Difference] = ()
    #: Empty if the activities better stand one below the other.
    lines: Sequence[Line] = ()


def in_rows(
    scope: Scope, activities: Iterable[Any], differences: Callable[[Any], Iterable[Difference]]
) -> Iterator[Rows]:
    """Put activities together that follow each other and did the same to rows of one table."""
    for (schema, table_name, *_), group in groupby(activities, _kind):
        own = list(group)
        if not _are_rows(own):
            yield from (Rows([each]) for each in own)
            continue
        found = [{each.path: each for each in differences(activity)} for activity in own]
        if own[0].verb != "update":
            hidden = _shown_by_the_key(scope, schema, table_name)
            yield _rows(own, [{path: row[path] for path in row if path not in hidden} for row in found])
        elif all(row.keys() == found[0].keys() and all(map(_is_short, row.values())) for row in found):
            yield _rows(own, found)
        else:
            yield from (Rows([each]) for each in own)


def _kind(activity: Any) -> tuple[Any, ...]:
    """Return what activities have in common that did the same."""
    is_update = activity.verb == "update" and is_loaded(activity) and isinstance(activity.changed_data, dict)
    columns = frozenset(activity.changed_data) if is_update else frozenset()
    return activity.schema, activity.table_name, activity.verb, columns


def _are_rows(activities: Sequence[Any]) -> bool:
    return (
        len(activities) >= _FEWEST
        and activities[0].verb in STATES
        and all(is_loaded(each) and each.row_key is not None and not is_digest(each.row_key) for each in activities)
    )


def _is_short(difference: Difference) -> bool:
    """Return whether both sides of a difference have room in a cell."""
    sides = [each for each in (difference.old, difference.new) if each is not None]
    return not difference.pieces and all(len(each) <= LONGEST for each in sides)


def _shown_by_the_key(scope: Scope, schema: str, table_name: str) -> Sequence[str]:
    table = table_of(scope, schema, table_name)
    key = () if table is None else tuple(table.primary_key.columns)
    return [each.name for each in key] if len(key) == 1 else []


def _rows(activities: Sequence[Any], found: Sequence[dict[str, Difference]]) -> Rows:
    names = list(dict.fromkeys(name for row in found for name in row))
    common = [name for name in names if all(name in row and row[name] == found[0][name] for row in found)]
    others = [name for name in names if name not in common]
    beside, behind = others[:_COLUMNS], others[_COLUMNS:]
    lines = [
        Line(activity, [row.get(name) for name in beside], [row[name] for name in behind if name in row])
        for activity, row in zip(activities, found, strict=True)
    ]
    return Rows(activities, beside, [found[0][name] for name in common], lines)
