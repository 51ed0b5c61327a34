"""The results as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")  # no display is needed

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from benchmarks.plan import NONE
from benchmarks.results import Measure, Results, Spread

#: In the order of the bars.
COLOURS = {
    "ours": "#1b6ca8",
    "flask-audit-logger": "#d1663a",
    "postgresql-audit": "#c9a227",
    "continuum": "#6b9e58",
    "floor": "#9aa5b1",
}
BAR = 0.18
TICKS = [base * 10**power for power in range(4) for base in (1, 2, 5)]
TIMES = "\N{MULTIPLICATION SIGN}"


def draw(results: Results, path: Path) -> None:
    """Draw what each subject costs: times as multiples of no audit, and bytes for each change."""
    times = [measure for measure in results.measures.values() if _is_ratio(measure)]
    sizes = [measure for measure in results.measures.values() if measure.name.endswith(":total")]
    panels = [(measures, paint) for measures, paint in ((times, _times), (sizes, _bytes)) if measures]
    if not panels:
        return
    heights = [len(measures) for measures, _ in panels]
    figure, axes = plt.subplots(
        len(panels),
        1,
        figsize=(10, 1.5 + 0.62 * sum(heights)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for (measures, paint), ax in zip(panels, axes[:, 0], strict=True):
        paint(ax, results, measures)
    about = results.about
    figure.suptitle(
        f"What an audit trail costs\nPostgreSQL {about['server']['version']}, {about['machine']['cores']} cores, "
        f"{about['date']}",
        fontsize=12,
    )
    figure.savefig(path, dpi=110, facecolor="white")
    plt.close(figure)


def _times(ax: Axes, results: Results, measures: list[Measure]) -> None:
    _bars(ax, results, measures, _slowdown, start=1, label=lambda value: f"{TIMES}{value:.2f}")
    ax.set_xscale("log")
    ax.axvline(1, color="#444", linewidth=1)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{TIMES}{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    _, high = ax.get_xlim()
    ax.set_xticks([tick for tick in TICKS if tick <= high])
    ax.set_xlim(0.9, high)
    ax.set_title("Time as a multiple of the same work without audit (median and quartiles; less is better)", loc="left")


def _bytes(ax: Axes, results: Results, measures: list[Measure]) -> None:
    _bars(ax, results, measures, _size, start=0, label=lambda value: f"{value:.0f}")
    ax.set_title("Bytes of the trail for each change, with indexes (less is better)", loc="left")


def _bars(
    ax: Axes,
    results: Results,
    measures: list[Measure],
    read: Callable[[Measure, str], Spread],
    *,
    start: float,
    label: Callable[[float], str],
) -> None:
    handles = {}
    for row, measure in enumerate(measures):
        present = [name for name in COLOURS if name in measure.values]
        for place, name in enumerate(present):
            y = row + (place - (len(present) - 1) / 2) * BAR
            spread = read(measure, name)
            handles[name] = ax.barh(y, spread.median - start, BAR * 0.92, left=start, color=COLOURS[name])
            ax.plot([spread.low, spread.high], [y, y], color="#333", linewidth=1)
            end = max(spread.high, start)
            ax.annotate(label(spread.median), (end, y), (4, 0), textcoords="offset points", va="center", fontsize=7)
    ax.set_yticks(range(len(measures)), [f"{results.workloads[m.workload]}\n{m.title}" for m in measures], fontsize=8)
    ax.set_ylim(len(measures) - 0.5, -0.5)
    ax.margins(x=0.12)
    ax.grid(axis="x", color="#ddd")
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    names = [name for name in COLOURS if name in handles]
    ax.legend([handles[name] for name in names], names, loc="best", fontsize=8)


def _slowdown(measure: Measure, subject: str) -> Spread:
    """Return the time as a multiple of no audit; that of one transaction, where a rate was measured."""
    ratio = measure.ratio(subject)
    assert ratio is not None
    if measure.unit == "1/s":
        return Spread(1 / ratio.median, 1 / ratio.high, 1 / ratio.low)
    return ratio


def _size(measure: Measure, subject: str) -> Spread:
    return Spread.of(measure.values[subject])


def _is_ratio(measure: Measure) -> bool:
    return NONE in measure.values and measure.unit in ("s", "1/s") and ":" not in measure.name
