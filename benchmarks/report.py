"""The results as tables: in the terminal, in Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.goals import Goal
from benchmarks.plan import NONE
from benchmarks.plot import TIMES, draw
from benchmarks.results import Measure, Results
from benchmarks.subjects import SUBJECTS

#: Ends the name of a measure that says of another whether its plan has a sequential scan.
SCANS = "_scans"
LEGEND = """\
Multiples of `none` are medians of the ratios of each round, with quartiles. `floor` writes the same jsonb without a
trigger. Times without a multiple, bytes and rates are medians."""


def show(console: Console, results: Results, goals: Sequence[Goal], *, judged: bool) -> None:
    """Print everything."""
    console.print("\n".join(about(results)), highlight=False)
    for number, title in results.workloads.items():
        measures, subjects = shown(results, number)
        console.print(f"\n[bold]{number}. {title}", highlight=False)
        table = Table("measure", *subjects)
        for column in table.columns[1:]:
            column.justify = "right"
        for measure in measures:
            table.add_row(measure.title, *(cell(results, measure, subject) for subject in subjects))
        console.print(table)
    console.print(LEGEND.replace("`", ""), highlight=False)
    table = Table("", "goal", "measured", "limit", "")
    for goal in goals:
        verdict = {True: "[green]met", False: "[red]missed", None: "[dim]not measured"}[goal.is_met]
        table.add_row(str(goal.workload), goal.text, *figures(goal), verdict if judged else "[dim]not judged")
    console.print(table)


def write(folder: Path, results: Results, goals: Sequence[Goal], *, judged: bool) -> None:
    """Write benchmark.json, benchmark.md and benchmark.png."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{**asdict(goal), "met": goal.is_met if judged else None} for goal in goals]
    (folder / "benchmark.json").write_text(results.to_json(rows), encoding="utf-8")
    (folder / "benchmark.md").write_text(markdown(results, goals, judged=judged), encoding="utf-8")
    draw(results, folder / "benchmark.png")


def markdown(results: Results, goals: Sequence[Goal], *, judged: bool) -> str:
    """Return all tables as Markdown."""
    lines = ["# Results", "", *(f"- {line}" for line in about(results)), "", LEGEND, "", "![](benchmark.png)", ""]
    lines += ["## Goals", "", "| | goal | measured | limit | |", "| --- | --- | ---: | ---: | --- |"]
    for goal in goals:
        verdict = {True: "met", False: "**missed**", None: "not measured"}[goal.is_met] if judged else "not judged"
        lines.append(f"| {goal.workload} | {goal.text} | {' | '.join(figures(goal))} | {verdict} |")
    for number, title in results.workloads.items():
        measures, subjects = shown(results, number)
        lines += [
            "",
            f"## {number}. {title}",
            "",
            f"| | {' | '.join(subjects)} |",
            f"| --- |{' ---: |' * len(subjects)}",
        ]
        for measure in measures:
            cells = " | ".join(cell(results, measure, subject) for subject in subjects)
            lines.append(f"| {measure.title} | {cells} |")
    return "\n".join(lines) + "\n"


def about(results: Results) -> list[str]:
    """Describe when, where and with what it was measured."""
    found = results.about
    machine, server = found["machine"], found["server"]
    settings = ", ".join(f"{name} = {value}" for name, value in server["settings"].items())
    round_trips = ", ".join(f"{name} {time * 1000:.2f} ms" for name, time in found["round_trip"].items())
    lines = [
        f"{found['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}",
        f"PostgreSQL {server['version']}: {settings}",
        f"round trip of SELECT 1: {round_trips}",
    ]
    versions = [set(each.items()) for each in found["versions"].values()]
    shared = set.intersection(*versions)
    for name, own in [
        ("all", shared),
        *((name, set(each.items()) - shared) for name, each in found["versions"].items()),
    ]:
        if own:
            lines.append(f"{name}: " + ", ".join(f"{package} {version}" for package, version in sorted(own)))
    return lines


def shown(results: Results, number: int) -> tuple[list[Measure], list[str]]:
    """Return the rows and the columns of the table of a workload."""
    measures = [
        measure
        for measure in results.measures.values()
        if measure.workload == number and not measure.name.endswith(SCANS)
    ]
    measured = {subject for measure in measures for subject in measure.values}
    return measures, [name for name in SUBJECTS if name in measured]


def cell(results: Results, measure: Measure, subject: str) -> str:
    """Return what a table says of a subject."""
    value = measure.median(subject)
    if value is None:
        return ""
    ratio = measure.ratio(subject) if subject != NONE and measure.unit in ("s", "1/s") else None
    if ratio is None:
        scans = results.measures.get(measure.name + SCANS)
        note = " (reads a whole table)" if scans and scans.median(subject) else ""
        return quantity(value, measure.unit) + note
    return f"{TIMES}{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def quantity(value: float, unit: str) -> str:
    """Return a figure in a unit that suits its size."""
    if unit == "s":
        scale, name = (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
        return f"{value * scale:.3g} {name}" if value * scale < 1000 else f"{value * scale:.0f} {name}"
    if unit == "B":
        return f"{value / (1 << 20):.1f} MiB" if value >= 1 << 20 else f"{value:.0f} B"
    return f"{value:.0f}/s"


def figures(goal: Goal) -> tuple[str, str]:
    """Return what was measured and the limit."""
    unit = f" {goal.unit}" if goal.unit else ""
    sign = "≤" if goal.kind == "at most" else "≥"
    measured = "" if goal.value is None else f"{goal.value:.2f}{unit}"
    return measured, f"{sign} {goal.limit:.2f}{unit}"
