"""`hatch run bench:run`: parse, run, print."""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import report
from benchmarks.errors import BenchmarkError
from benchmarks.goals import goals
from benchmarks.plan import FULL, LARGE, SMOKE
from benchmarks.run import run
from benchmarks.server import server
from benchmarks.subjects import SUBJECTS, Subject

PUBLISHED = Path(__file__).parent / "results"


def _chosen(context: click.Context, parameter: click.Parameter, value: str | None) -> list[Subject]:
    names = list(SUBJECTS) if value is None else value.split(",")
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(SUBJECTS)}.")
    return [SUBJECTS[name] for name in SUBJECTS if name in names]


@click.command()
@click.option("--url", help="Use this server, with a superuser, instead of one that is started.")
@click.option("--only", "subjects", callback=_chosen, metavar="SUBJECTS", help=f"Of {','.join(SUBJECTS)}.")
@click.option(
    "--workload", "numbers", type=click.IntRange(1, 13), multiple=True, help="Its number; may be given several times."
)
@click.option("--minutes", default=10.0, show_default=True, help="How long about the workloads may take.")
@click.option("--large", is_flag=True, help="Read a trail of 10 million changes too: some minutes, and 30 GB of disk.")
@click.option("--smoke", is_flag=True, help="Run everything in tiny sizes and judge nothing.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write; without it, only a run of everything writes, to benchmarks/results.",
)
def main(
    url: str | None,
    subjects: list[Subject],
    numbers: tuple[int, ...],
    minutes: float,
    large: bool,
    smoke: bool,
    output: Path | None,
) -> None:
    """Measure what this audit trail and its peers add to the same work."""
    # Leave through the with blocks, so that servers and workers go too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else 160)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress, server(url) as opened:
            results = run(
                opened,
                subjects,
                SMOKE if smoke else LARGE if large else FULL,
                numbers=numbers,
                minutes=minutes,
                timeout=1800 if large else 300,
                progress=progress,
            )
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    judged = not smoke
    found = goals(results)
    report.show(console, results, found, judged=judged)
    is_complete = not smoke and not numbers and len(subjects) == len(SUBJECTS)
    if output is None and is_complete:
        output = PUBLISHED
    if output is not None:
        report.write(output, results, found, judged=judged)
        console.print(f"Written to {output}")
    elif smoke:
        with tempfile.TemporaryDirectory() as folder:
            report.write(Path(folder), results, found, judged=judged)
