"""What changed as a difference: values as lines that went and came, long texts word by word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from ..words import Budget, compare, replaced
from .cutting import cut
from .output import value_text

#: Longer texts, and those of several lines, are compared word by word.
_SHORT = 60
#: An unchanged stretch that is longer is folded, but for so much at its ends.
_FOLDED, _END = 160, 60
_BREAKS = "\r\n"
# A terminal says nothing of what moved.
_OLD_KINDS, _NEW_KINDS = ("same", "deleted", "moved_away"), ("same", "inserted", "moved_here")
_WITH_OLD, _WITH_NEW = ("update", "delete"), ("update", "insert", "snapshot")


class _Run(NamedTuple):
    """Words that both texts have, or that one has in the place of the other's."""

    is_same: bool
    old: str
    new: str


def difference(verb: str, changes: Mapping[str, tuple[Any, Any]], is_cut: bool) -> Iterator[str]:
    """Show what changed; ``[-what went-]`` and ``{+what came+}`` stand in long texts."""
    for name, (old, new) in changes.items():
        if verb == "update" and _is_long(old) and _is_long(new):
            yield f"~ {name}:"
            for line in _marked(_compare(_raw(old), _raw(new)), is_cut).splitlines():
                yield f"  {line}"
            continue
        if verb in _WITH_OLD:
            yield f"- {name}: {_fitted(old, is_cut)}"
        if verb in _WITH_NEW:
            yield f"+ {name}: {_fitted(new, is_cut)}"


def _is_long(value: Any) -> bool:
    text = _raw(value)
    return len(text) > _SHORT or "\n" in text


def _raw(value: Any) -> str:
    return value if isinstance(value, str) else value_text(value)


def _fitted(value: Any, is_cut: bool) -> str:
    return cut(value_text(value)) if is_cut else value_text(value)


def _compare(old: str, new: str) -> list[_Run]:
    """Compare line by line, and word by word what was replaced; as a whole what is too different."""
    pieces = compare(old, new, Budget()) or replaced(old, new)
    runs = []
    for is_same, group in groupby(pieces, lambda piece: piece.kind == "same"):
        found = list(group)
        went, came = (
            "".join(piece.text for piece in found if piece.kind in kinds) for kinds in (_OLD_KINDS, _NEW_KINDS)
        )
        runs.append(_Run(is_same, went, came))
    return runs


def _marked(runs: list[_Run], is_cut: bool) -> str:
    texts = []
    for number, run in enumerate(runs):
        if run.is_same:
            texts.append(_folded(run.old, number == 0, number == len(runs) - 1) if is_cut else run.old)
        else:
            went, came = (cut(each) if is_cut else each for each in (run.old, run.new))
            texts += [_wrapped(went, "[-", "-]"), _wrapped(came, "{+", "+}")]
    return "".join(texts)


def _wrapped(text: str, begin: str, end: str) -> str:
    """Mark each line, so that none looks like an unchanged one."""
    lines = ((line.rstrip(_BREAKS), line) for line in text.splitlines(keepends=True))
    return "".join(f"{begin}{said}{end}{line[len(said) :]}" for said, line in lines)


def _folded(text: str, is_first: bool, is_last: bool) -> str:
    if len(text) <= _FOLDED:
        return text
    return f"{'' if is_first else text[:_END]} … {'' if is_last else text[-_END:]}"
