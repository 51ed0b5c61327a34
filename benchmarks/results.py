"""What was measured, and the figures that follow from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

from benchmarks.plan import NONE


@dataclass(frozen=True)
class Spread:
    """A median and its quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        low, middle, high = quantiles(values, n=4, method="inclusive")
        return cls(middle, low, high)


@dataclass
class Measure:
    """The values of each subject, round by round."""

    name: str
    workload: int
    title: str
    unit: str
    values: dict[str, list[float]] = field(default_factory=dict)

    def median(self, subject: str) -> float | None:
        return median(self.values[subject]) if subject in self.values else None

    def ratio(self, subject: str) -> Spread | None:
        """Return a subject as multiple of no audit, from the pairs of each round."""
        ratios = [value / other for value, other in self._pairs(subject) if other]
        return Spread.of(ratios) if ratios else None

    def added(self, subject: str) -> float | None:
        """Return what a subject adds to no audit, from the pairs of each round."""
        pairs = self._pairs(subject)
        return median(value - other for value, other in pairs) if pairs else None

    def _pairs(self, subject: str) -> list[tuple[float, float]]:
        if subject not in self.values or NONE not in self.values:
            return []
        return list(zip(self.values[subject], self.values[NONE], strict=True))


@dataclass
class Results:
    """Everything a run has found."""

    about: dict[str, Any]
    workloads: dict[int, str] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)

    def add(self, measure: Measure, subject: str, values: float | list[float]) -> None:
        """Add a value, or several, to what is known of a measure."""
        known = self.measures.setdefault(measure.name, measure)
        known.values.setdefault(subject, []).extend(values if isinstance(values, list) else [values])

    def to_json(self, goals: list[dict[str, Any]]) -> str:
        measures = []
        for measure in self.measures.values():
            entry = asdict(measure)
            entry["ratio_to_none"] = {
                subject: asdict(ratio)
                for subject in measure.values
                if subject != NONE and (ratio := measure.ratio(subject))
            }
            measures.append(entry)
        return json.dumps({"about": self.about, "goals": goals, "measures": measures}, indent=1) + "\n"
