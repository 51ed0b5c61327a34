"""What a change did to each column, as pieces of text that a template can mark."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from audit_core.siblings import dump_json

#: Longer texts are compared word by word.
_SHORT = 60
#: So much of a text is shown, and compared.
_SHOWN = 2000
#: How much of what both have in common stands before the first difference.
_LEAD = 200
_PATHS = 100
#: Deeper values are compared as texts.
_DEPTH = 30

_NAME = re.compile(r"[A-Za-z_]\w*")
_ABSENT: Any = object()


@dataclass(frozen=True)
class Piece:
    """A part of a text: in both versions, or in one of them."""

    kind: Literal["same", "deleted", "inserted"]
    text: str


@dataclass(frozen=True)
class Difference:
    """How a column, or a place in its JSON, differs. A side that was not there is None."""

    path: str
    old: str | None
    new: str | None
    #: The text of both sides together; empty where it is short.
    pieces: tuple[Piece, ...] = ()
    note: str = ""


def differences(old_data: dict[str, Any], changed_data: dict[str, Any], verb: str) -> Iterator[Difference]:
    """Compare what was recorded of a row, column by column."""
    if verb == "delete":
        for name in old_data:
            yield _of_texts(name, text_of(old_data[name]), None)
        return
    for name, new in changed_data.items():
        old = old_data.get(name, _ABSENT)
        if isinstance(old, (dict, list)) and isinstance(new, (dict, list)):
            found = list(islice(_by_path(name, "$", old, new, 0), _PATHS + 1))
            yield from found[:_PATHS]
            if len(found) > _PATHS:
                yield Difference(name, None, None, note=f"only the first {_PATHS} places that differ are shown")
        else:
            yield _of_values(name, old, new)


def text_of(value: Any) -> str:
    """Write a recorded value as the trail has it: a text bare, anything else as JSON, with all digits."""
    return value if isinstance(value, str) else dump_json(value)


def cut(text: str) -> tuple[str, str]:
    """Return what is shown of a text, and a note if that is not all."""
    if len(text) <= _SHOWN:
        return text, ""
    return text[:_SHOWN], f"cut, {len(text):,} characters in all"


def _by_path(name: str, path: str, old: Any, new: Any, depth: int) -> Iterator[Difference]:
    places: list[tuple[str, Any, Any]]
    if depth < _DEPTH and isinstance(old, dict) and isinstance(new, dict):
        places = [(_member(key), old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in {**old, **new}]
    elif depth < _DEPTH and isinstance(old, list) and isinstance(new, list):
        places = [(f"[{i}]", _item(old, i), _item(new, i)) for i in range(max(len(old), len(new)))]
    else:
        if not _is_same(old, new):
            yield _of_values(f"{name} {path}", old, new)
        return
    for step, one, other in places:
        yield from _by_path(name, path + step, one, other, depth + 1)


def _is_same(old: Any, new: Any) -> bool:
    if old is _ABSENT or new is _ABSENT:
        return old is new
    # 1, 1.0 and true are equal to Python.
    return dump_json(old) == dump_json(new)


def _member(key: str) -> str:
    return f".{key}" if _NAME.fullmatch(key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else _ABSENT


def _of_values(path: str, old: Any, new: Any) -> Difference:
    return _of_texts(
        path, None if old is _ABSENT else text_of(old), None if new is _ABSENT else text_of(new), words=old is not None
    )


def _of_texts(path: str, old: str | None, new: str | None, words: bool = True) -> Difference:
    sizes = [len(each) for each in (old, new) if each is not None]
    if old is None or new is None or not words or max(sizes) <= _SHORT:
        note = f"cut, {max(sizes):,} characters in all" if max(sizes) > _SHOWN else ""
        return Difference(path, old and old[:_SHOWN], new and new[:_SHOWN], note=note)
    start = max(0, _common(old, new) - _LEAD)
    note = ""
    if max(sizes) > _SHOWN:
        note = f"cut, from character {start + 1:,}; {sizes[0]:,} characters before and {sizes[1]:,} after"
    shown = [each[start : start + _SHOWN] for each in (old, new)]
    return Difference(path, shown[0], shown[1], tuple(_pieces(*shown)), note)


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


def _pieces(old: str, new: str) -> Iterator[Piece]:
    before, after = re.findall(r"\s+|\w+|[^\w\s]", old), re.findall(r"\s+|\w+|[^\w\s]", new)
    for tag, a, b, c, d in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            yield Piece("same", "".join(before[a:b]))
            continue
        if a < b:
            yield Piece("deleted", "".join(before[a:b]))
        if c < d:
            yield Piece("inserted", "".join(after[c:d]))
