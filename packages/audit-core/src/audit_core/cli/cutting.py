"""Long values, cut for a terminal."""

from __future__ import annotations

from itertools import takewhile

_WIDEST = 120
#: So much of what is equal stands before the first difference.
_BEFORE = 20


def cut(text: str, widest: int = _WIDEST) -> str:
    """Cut a long text, and say how long it is."""
    return text if len(text) <= widest else f"{text[:widest]}… ({len(text):,} characters)"


def cut_pair(old: str, new: str) -> tuple[str, str]:
    """Cut two texts so that the first difference between them is seen."""
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(old, new)))  # noqa: B905
    start = alike - _BEFORE
    if start <= _BEFORE or max(len(old), len(new)) <= _WIDEST:
        return cut(old), cut(new)
    return _cut_from(old, start), _cut_from(new, start)


def _cut_from(text: str, start: int) -> str:
    end = start + _WIDEST
    said = f"… ({len(text):,} characters)" if len(text) > end else ""
    return f"…{text[start:end]}{said}"
