"""The changes of each day as a picture. Needs the extra ``audit-core[plot]``."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_TABLES = 6
_DATES = 6
_OTHER = "other"


def draw(file: Path, counts: Iterable[tuple[dt.date, str, int]]) -> None:
    """Draw the numbers of changes, given as day, table and number, as stacked bars: one a day, a colour for a table."""
    by_day: Counter[tuple[dt.date, str]] = Counter()
    by_table: Counter[str] = Counter()
    for day, table, number in counts:
        by_day[day, table] += number
        by_table[table] += number
    largest = [table for table, _ in by_table.most_common(_TABLES)]
    days = _every_day(day for day, _ in by_day)
    series = {table: [by_day[day, table] for day in days] for table in largest}
    rest = [sum(by_day[day, table] for table in by_table if table not in largest) for day in days]
    if any(rest):
        series[_OTHER if _OTHER not in largest else "all others"] = rest

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    bottom = [0] * len(days)
    bars = []
    for number, values in enumerate(series.values()):
        colour = "0.7" if number == len(largest) else f"C{number}"
        bars.append(axes.bar(range(len(days)), values, width=0.9, bottom=bottom, color=colour))
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    marked = range(0, len(days), math.ceil(len(days) / _DATES))
    axes.set_xticks(marked, [days[number].isoformat() for number in marked])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("Changes recorded, by day and table")
    axes.set_xlabel("day (UTC)")
    axes.set_ylabel("changes")
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(bars, list(series), loc="upper left", bbox_to_anchor=(1, 1), title="table", frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a table may have $ in its name
    figure.savefig(file, format="png", dpi=120)


def _every_day(days: Iterable[dt.date]) -> list[dt.date]:
    known = set(days)
    first = min(known)
    return [first + dt.timedelta(days=number) for number in range((max(known) - first).days + 1)]
