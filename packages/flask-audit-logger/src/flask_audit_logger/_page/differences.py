"""What a change did to each column, as pieces of text that a template can mark."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from audit_core.siblings import Budget, Piece, compare, dump_json, fold
from sqlalchemy import LargeBinary, Table

from .lists import paired

#: Longer texts are compared word by word.
_SHORT = 60
#: So much of a text is shown,
_SHOWN = 2000
#: and so much of what two texts do not begin and end with alike is compared.
_COMPARED = 20_000
#: Longer texts are folded.
_UNFOLDED = 400
#: How much of what both have in common stands before the first difference.
_LEAD = 200
_PATHS = 100
#: Deeper values are compared as texts.
_DEPTH = 30

_NAME = re.compile(r"[A-Za-z_]\w*")
_ABSENT: Any = object()


@dataclass(frozen=True)
class Difference:
    """How a column, or a place in its JSON, differs. A side that was not there is None."""

    path: str
    old: str | None
    new: str | None
    #: The text of both sides together; empty where it is short.
    pieces: tuple[Piece, ...] = ()
    note: str = ""

    @property
    def is_long(self) -> bool:
        """Whether it is better folded."""
        return not self.pieces and any(len(each) > _UNFOLDED for each in (self.old, self.new) if each is not None)


def differences(
    old_data: dict[str, Any],
    changed_data: dict[str, Any],
    verb: str,
    binary: Collection[str] = (),
    budget: Budget | None = None,
) -> Iterator[Difference]:
    """Compare what was recorded of a row, column by column.

    :param binary: the columns whose values are bytes.
    :param budget: how many steps may be taken; that of a page where there are several rows.
    """
    budget = budget or Budget()
    if verb == "delete":
        for name, old in old_data.items():
            yield _of_bytes(name, old, _ABSENT) if name in binary else _of_texts(name, text_of(old), None, budget)
        return
    for name, new in changed_data.items():
        old = old_data.get(name, _ABSENT)
        if name in binary:
            yield _of_bytes(name, old, new)
        elif isinstance(old, (dict, list)) and isinstance(new, (dict, list)):
            found = list(islice(_by_path(name, "$", old, new, 0, budget), _PATHS + 1))
            yield from found[:_PATHS]
            if len(found) > _PATHS:
                yield Difference(name, None, None, note=f"only the first {_PATHS} places that differ are shown")
        else:
            yield _of_values(name, old, new, budget)


def text_of(value: Any) -> str:
    """Write a recorded value as the trail has it: a text bare, anything else as JSON, with all digits."""
    return value if isinstance(value, str) else dump_json(value)


def cut(text: str) -> tuple[str, str]:
    """Return what is shown of a text, and a note if that is not all."""
    if len(text) <= _SHOWN:
        return text, ""
    return text[:_SHOWN], f"cut, {len(text):,} characters in all"


def _by_path(name: str, path: str, old: Any, new: Any, depth: int, budget: Budget) -> Iterator[Difference]:
    places: list[tuple[str, Any, Any]]
    if depth < _DEPTH and isinstance(old, dict) and isinstance(new, dict):
        places = [(_member(key), old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new}]
    elif depth < _DEPTH and isinstance(old, list) and isinstance(new, list):
        places = [(f"[{i}]", one, other) for i, one, other in paired(old, new, _ABSENT, budget)]
    else:
        if not is_same(old, new):
            yield _of_values(f"{name} {path}", old, new, budget)
        return
    for step, one, other in places:
        yield from _by_path(name, path + step, one, other, depth + 1, budget)


def is_same(old: Any, new: Any) -> bool:
    """Return whether two recorded values are the same."""
    if old is _ABSENT or new is _ABSENT:
        return old is new
    # 1, 1.0 and true are equal to Python.
    return dump_json(old) == dump_json(new)


def _member(key: str) -> str:
    return f".{key}" if _NAME.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def _of_values(path: str, old: Any, new: Any, budget: Budget) -> Difference:
    before, after = (None if each is _ABSENT else text_of(each) for each in (old, new))
    return _of_texts(path, before, after, budget, words=isinstance(old, str) and isinstance(new, str))


def _of_bytes(path: str, old: Any, new: Any) -> Difference:
    before, after = (None if each is _ABSENT else describe_bytes(each) for each in (old, new))
    return Difference(path, before, after)


def binary_columns(table: Table) -> set[str]:
    """Return the columns of a table whose values are bytes."""
    return {each.name for each in table.columns if isinstance(each.type, LargeBinary)}


def describe_bytes(value: Any) -> str:
    """Describe bytes, which the trail has as hexadecimal digits, by kind, size and hash."""
    text = text_of(value)
    try:
        data = bytes.fromhex(text.removeprefix("\\x"))
    except ValueError:
        # What stands for a value that is masked.
        return cut(text)[0]
    kind = next((name for start, name in _KINDS if data.startswith(start)), "binary")
    size = "1 byte" if len(data) == 1 else f"{len(data):,} bytes"
    return f"{kind}, {size}, SHA-256 {hashlib.sha256(data).hexdigest()[:16]}…"


_KINDS = (
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP archive"),
)


def _of_texts(path: str, old: str | None, new: str | None, budget: Budget, words: bool = True) -> Difference:
    sizes = [len(each) for each in (old, new) if each is not None]
    if old is None or new is None or not words or max(sizes) <= _SHORT:
        note = f"cut, {max(sizes):,} characters in all" if sizes and max(sizes) > _SHOWN else ""
        return Difference(path, old and old[:_SHOWN], new and new[:_SHOWN], note=note)
    start, end = _common_ends(old, new)
    start, end = max(0, start - _LEAD), max(0, end - _LEAD)
    note = ""
    if max(sizes) > _SHOWN:
        note = f"{sizes[0]:,} characters before and {sizes[1]:,} after"
    middles = [each[start : len(each) - end] for each in (old, new)]
    pieces = compare(middles[0], middles[1], budget) if max(map(len, middles)) <= _COMPARED else None
    if pieces is None:
        if max(map(len, middles)) > _SHOWN:
            note = f"cut, from character {start + 1:,}; {note}"
        return Difference(path, middles[0][:_SHOWN], middles[1][:_SHOWN], note=note)
    around = [[Piece("same", "", size)] if size else [] for size in (start, end)]
    return Difference(path, old[:_SHOWN], new[:_SHOWN], (*around[0], *map(fold, pieces), *around[1]), note)


def _common_ends(old: str, new: str) -> tuple[int, int]:
    """Count the characters that both begin with, and those that both end with beside them."""
    start = _common(old, new)
    most = min(len(old), len(new)) - start
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if old[len(old) - middle : len(old) - low] == new[len(new) - middle : len(new) - low]:
            low = middle
        else:
            high = middle - 1
    return start, low


def _common(old: str, new: str) -> int:
    """Count the characters that both begin with, without looking at each of millions."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
