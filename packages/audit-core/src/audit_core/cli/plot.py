"""The changes of each day as a picture. Needs the extra ``audit-core[plot]``."""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

_TABLES = 6
_DATES = 6
#: So many bars can be told apart; with more days each bar is a week, a month or a year.
_BARS = 100
#: So many bars have room at least, so that one day is not as wide as the picture.
_PLACES = 7
_OTHER = "other"

#: What a bar can be, the day with which it begins, and how that is written.
_UNITS: dict[str, tuple[Callable[[dt.date], dt.date], str]] = {
    "day": (lambda day: day, "%Y-%m-%d"),
    "week": (lambda day: day - dt.timedelta(days=day.weekday()), "%Y-%m-%d"),
    "month": (lambda day: day.replace(day=1), "%Y-%m"),
    "year": (lambda day: day.replace(month=1, day=1), "%Y"),
}


def draw(file: Path, counts: Iterable[tuple[dt.date, str, int]]) -> None:
    """Draw the numbers of changes, given as day, table and number, as stacked bars: a colour for a table."""
    by_day: Counter[tuple[dt.date, str]] = Counter()
    by_table: Counter[str] = Counter()
    for day, table, number in counts:
        by_day[day, table] += number
        by_table[table] += number
    unit, bars = _bars([day for day, _ in by_day])
    begin, written = _UNITS[unit]
    by_bar: Counter[tuple[dt.date, str]] = Counter()
    for (day, table), number in by_day.items():
        by_bar[begin(day), table] += number
    largest = [table for table, _ in by_table.most_common(_TABLES)]
    series = {table: [by_bar[bar, table] for bar in bars] for table in largest}
    rest = [sum(by_bar[bar, table] for table in by_table if table not in largest) for bar in bars]
    if any(rest):
        series[_OTHER if _OTHER not in largest else "all others"] = rest

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.add_subplot()
    bottom = [0] * len(bars)
    drawn = []
    for number, values in enumerate(series.values()):
        colour = "0.7" if number == len(largest) else f"C{number}"
        drawn.append(axes.bar(range(len(bars)), values, width=0.9, bottom=bottom, color=colour))
        bottom = [below + value for below, value in zip(bottom, values, strict=True)]
    marked = range(0, len(bars), math.ceil(len(bars) / _DATES))
    axes.set_xticks(marked, [bars[number].strftime(written) for number in marked])
    room = max(0, _PLACES - len(bars)) / 2
    axes.set_xlim(-0.5 - room, len(bars) - 0.5 + room)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_title(f"Changes recorded, by {unit} and table")
    axes.set_xlabel(f"{'week, from Monday' if unit == 'week' else unit} (UTC)")
    axes.set_ylabel("changes")
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    legend = axes.legend(drawn, list(series), loc="upper left", bbox_to_anchor=(1, 1), title="table", frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a table may have $ in its name
    figure.savefig(file, format="png", dpi=120)


def _bars(days: list[dt.date]) -> tuple[str, list[dt.date]]:
    """Choose what a bar is, and list all of them, those without changes too."""
    every_day = list(_every_day(days))
    choices = {unit: list(dict.fromkeys(map(begin, every_day))) for unit, (begin, _) in _UNITS.items()}
    unit = next((unit for unit, bars in choices.items() if len(bars) <= _BARS), "year")
    return unit, choices[unit]


def _every_day(days: Iterable[dt.date]) -> Iterator[dt.date]:
    known = set(days)
    first = min(known)
    return (first + dt.timedelta(days=number) for number in range((max(known) - first).days + 1))
