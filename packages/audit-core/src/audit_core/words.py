"""What differs between two texts, word by word, and between two sequences, in a bounded number of steps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Kind = Literal["same", "deleted", "inserted", "moved_away", "moved_here"]

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
#: Steps of all comparisons of an answer; what is too different then is shown as a whole.
STEPS = 400_000
#: Two texts that differ in more places are not alike.
_MOST_EDITS = 400
#: Shorter paragraphs are not said to have moved.
_MOVED = 20
#: Longer stretches that both have are folded, but for so much at each end.
_UNFOLDED, _CONTEXT = 300, 80


@dataclass(frozen=True)
class Piece:
    """A part of a text: in both versions, in one of them, or in another place."""

    kind: Kind
    text: str
    #: How many characters are left out after the text, and what stands behind them.
    folded: int = 0
    end: str = ""


@dataclass
class Budget:
    """How many steps are left for the comparisons of an answer."""

    steps: int = STEPS


def compare(old: str, new: str, budget: Budget) -> list[Piece] | None:
    """Compare two texts; None if they are too different, or if the budget is spent."""
    by = _by_paragraph if "\n" in old or "\n" in new else _by_word
    pieces = by(old, new, budget)
    return None if pieces is None else list(_joined(pieces))


def replaced(old: str, new: str) -> list[Piece]:
    """Compare no more than the words at both ends; the rest is another text."""
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    start = _common(before, after)
    rest = min(len(before), len(after)) - start
    end = _common(before[: -rest - 1 : -1] if rest else (), after[: -rest - 1 : -1] if rest else ())
    middles = (each[start : len(each) - end] for each in (before, after))
    parts = ("".join(before[:start]), *map("".join, middles), "".join(before[len(before) - end :]))
    kinds: tuple[Kind, ...] = ("same", "deleted", "inserted", "same")
    return [Piece(kind, text) for kind, text in zip(kinds, parts, strict=True) if text]


def fold(piece: Piece) -> Piece:
    """Leave out the middle of a long stretch that is the same."""
    if piece.kind != "same" or len(piece.text) <= _UNFOLDED:
        return piece
    text = piece.text
    return Piece("same", text[:_CONTEXT], len(text) - 2 * _CONTEXT, text[-_CONTEXT:])


def _by_paragraph(old: str, new: str, budget: Budget) -> list[Piece] | None:
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    edits = edits_between(before, after, budget)
    if edits is None:
        return None
    moved = _moved(edits)
    pieces: list[Piece] = []
    for is_same, group in groupby(edits, key=lambda edit: edit[0] == "same"):
        if is_same:
            pieces += [Piece("same", text) for _, text in group]
        else:
            pieces += _replaced(list(group), moved, budget)
    return pieces


def _moved(edits: Sequence[tuple[Kind, str]]) -> Counter[str]:
    """Count the paragraphs that are gone from one place and stand in another."""
    gone, come = (
        Counter(text for kind, text in edits if kind == wanted and len(text.strip()) >= _MOVED)
        for wanted in ("deleted", "inserted")
    )
    return gone & come


def _replaced(edits: list[tuple[Kind, str]], moved: Counter[str], budget: Budget) -> Iterator[Piece]:
    """Compare by word what stands in the place of something else."""
    gone, come = (
        [text for kind, text in edits if kind == wanted and text not in moved] for wanted in ("deleted", "inserted")
    )
    yield from (Piece("moved_away", text) for kind, text in edits if kind == "deleted" and text in moved)
    pieces = _by_word("".join(gone), "".join(come), budget) if gone and come else None
    if pieces is None:
        yield from (Piece("deleted", text) for text in gone)
        yield from (Piece("inserted", text) for text in come)
    else:
        yield from pieces
    yield from (Piece("moved_here", text) for kind, text in edits if kind == "inserted" and text in moved)


def _by_word(old: str, new: str, budget: Budget) -> list[Piece] | None:
    edits = edits_between(_WORDS.findall(old), _WORDS.findall(new), budget)
    if edits is None:
        return None
    runs = groupby(edits, lambda edit: edit[0])
    return _readable([Piece(kind, "".join(text for _, text in run)) for kind, run in runs])


def _readable(pieces: list[Piece]) -> list[Piece]:
    """Put together changes between which nothing but a space is the same."""
    found: list[Piece] = []
    gone = come = ""
    for place, piece in enumerate(pieces):
        is_between = bool(gone or come) and place + 1 < len(pieces)
        if piece.kind == "deleted":
            gone += piece.text
        elif piece.kind == "inserted":
            come += piece.text
        elif is_between and not piece.text.strip():
            gone, come = gone + piece.text, come + piece.text
        else:
            found += _changed(gone, come)
            gone = come = ""
            found.append(piece)
    return [*found, *_changed(gone, come)]


def _changed(gone: str, come: str) -> Iterator[Piece]:
    if gone:
        yield Piece("deleted", gone)
    if come:
        yield Piece("inserted", come)


def _joined(pieces: list[Piece]) -> Iterator[Piece]:
    for kind, group in groupby(pieces, lambda piece: piece.kind):
        yield Piece(kind, "".join(piece.text for piece in group))


def edits_between(before: Sequence[str], after: Sequence[str], budget: Budget) -> list[tuple[Kind, str]] | None:
    """Find a shortest way from one sequence to the other (Myers' algorithm); None if it is too long."""
    start = _common(before, after)
    rest = min(len(before), len(after)) - start
    end = _common(before[: -rest - 1 : -1] if rest else (), after[: -rest - 1 : -1] if rest else ())
    a, b = before[start : len(before) - end], after[start : len(after) - end]
    path = _path(a, b, budget)
    if path is None:
        return None
    edits: list[tuple[Kind, str]] = [("same", text) for text in before[:start]]
    x = y = 0
    for to_x, to_y in path:
        edits += [("deleted", text) for text in a[x:to_x]]
        edits += [("inserted", text) for text in b[y:to_y]]
        x, y = to_x, to_y
        while x < len(a) and y < len(b) and a[x] == b[y]:
            edits.append(("same", a[x]))
            x, y = x + 1, y + 1
    return [*edits, *(("same", text) for text in before[len(before) - end :])]


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _path(a: Sequence[str], b: Sequence[str], budget: Budget) -> list[tuple[int, int]] | None:
    """Return the places at which each step of the way arrives, before what is the same there."""
    furthest = {1: 0}
    steps: list[dict[int, tuple[int, int]]] = []
    for edits in range(min(len(a) + len(b), _MOST_EDITS) + 1):
        arrived: dict[int, tuple[int, int]] = {}
        steps.append(arrived)
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and furthest[k - 1] < furthest[k + 1])
            x = furthest[k + 1] if down else furthest[k - 1] + 1
            y = x - k
            arrived[k] = (x, k + 1 if down else k - 1)
            begun = x
            while x < len(a) and y < len(b) and a[x] == b[y]:
                x, y = x + 1, y + 1
            furthest[k] = x
            budget.steps -= 1 + x - begun
            if budget.steps < 0:
                return None
            if x >= len(a) and y >= len(b):
                return _back(steps, k)
    return None


def _back(steps: list[dict[int, tuple[int, int]]], k: int) -> list[tuple[int, int]]:
    path: list[tuple[int, int]] = []
    for arrived in reversed(steps):
        x, previous = arrived[k]
        path.append((x, x - k))
        k = previous
    return path[::-1]
