"""What changed as a difference: values as lines that went and came, long texts word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from .cutting import cut
from .output import value_text

#: Longer texts, and those of several lines, are compared word by word.
_SHORT = 60
#: So many pairs of lines and words are compared; what takes more counts as replaced.
_MOST = 250_000
#: An unchanged stretch that is longer is folded, but for so much at its ends.
_FOLDED, _END = 160, 60
_BREAKS = "\r\n"
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
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
    """Compare line by line, and word by word what was replaced."""
    runs: list[_Run] = []
    budget = _Budget()
    for run in _runs(old.splitlines(keepends=True), new.splitlines(keepends=True), budget):
        replaced = not run.is_same and run.old and run.new
        runs += _runs(_WORDS.findall(run.old), _WORDS.findall(run.new), budget) if replaced else [run]
    return runs


class _Budget:
    """How many pairs may still be compared of one value, whatever it is made of."""

    def __init__(self) -> None:
        self.left = _MOST

    def allows(self, pairs: int) -> bool:
        if pairs > self.left:
            return False
        self.left -= pairs
        return True


def _runs(old: Sequence[str], new: Sequence[str], budget: _Budget) -> Iterator[_Run]:
    """Find the longest sequence that both have in common."""
    shortest = min(len(old), len(new))
    start = next((at for at in range(shortest) if old[at] != new[at]), shortest)
    most = shortest - start
    end = next((at for at in range(most) if old[-1 - at] != new[-1 - at]), most)
    went, came = old[start : len(old) - end], new[start : len(new) - end]
    steps = [(True, each, each) for each in old[:start]]
    if budget.allows(len(went) * len(came)):
        steps += _steps(went, came)
    else:
        steps.append((False, "".join(went), "".join(came)))
    steps += [(True, each, each) for each in old[len(old) - end :]]
    for is_same, group in groupby(steps, lambda step: step[0]):
        _, olds, news = zip(*group, strict=True)
        yield _Run(is_same, "".join(olds), "".join(news))


def _steps(old: Sequence[str], new: Sequence[str]) -> list[tuple[bool, str, str]]:
    # How long the common sequence of what is left of both is.
    common = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in reversed(range(len(old))):
        row, below = common[i], common[i + 1]
        for j in reversed(range(len(new))):
            row[j] = below[j + 1] + 1 if old[i] == new[j] else max(below[j], row[j + 1])
    steps, i, j = [], 0, 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            steps.append((True, old[i], new[j]))
            i, j = i + 1, j + 1
        elif j == len(new) or (i < len(old) and common[i + 1][j] >= common[i][j + 1]):
            steps.append((False, old[i], ""))
            i += 1
        else:
            steps.append((False, "", new[j]))
            j += 1
    return steps


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
