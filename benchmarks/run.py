"""Run the workloads: every subject in its own process and database, in turns."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from rich.progress import Progress, TaskID

from benchmarks.client import Worker
from benchmarks.plan import Sizes, Step, Workload, plan
from benchmarks.results import Measure, Results
from benchmarks.server import Server, link, machine, round_trip
from benchmarks.subjects import Subject

#: What the slow link adds, in seconds.
ROUND_TRIP = 0.001


def run(
    server: Server,
    subjects: Sequence[Subject],
    sizes: Sizes,
    *,
    numbers: Sequence[int],
    minutes: float,
    timeout: float,
    progress: Progress,
) -> Results:
    """Run the workloads of these numbers, or all, with these subjects.

    :param minutes: how long about all of them may take.
    :param timeout: how long one step may take, in seconds.
    :raises BenchmarkError: if a subject fails.
    """
    results = Results(
        {
            "date": dt.date.today().isoformat(),
            "machine": machine(),
            "server": server.describe(),
            "work_mem": server.work_mem(),
            "versions": {},
        }
    )
    preparing = progress.add_task("environments and databases", total=len(subjects))
    with ExitStack() as stack:
        direct = round_trip(server.url)
        delay = ROUND_TRIP / 2
        for _ in range(2):
            # The way through another process takes some time by itself.
            with link(server.url, delay) as trial:
                delay = max(0, delay - (round_trip(trial) - direct - ROUND_TRIP) / 2)
        slow = stack.enter_context(link(server.url, delay))
        results.about["round_trip"] = {"loopback": direct, "link": round_trip(slow)}
        urls: dict[str, str] = {}
        databases = {subject.name: stack.enter_context(server.database(subject.name)) for subject in subjects}
        workers = {subject.name: stack.enter_context(Worker(subject, timeout)) for subject in subjects}
        for subject in subjects:
            database = databases[subject.name]
            versions = workers[subject.name].prepare(database.render_as_string(hide_password=False), sizes.source)
            results.about["versions"][subject.name] = _interesting(versions)
            urls[subject.name] = slow.set(database=database.database).render_as_string(hide_password=False)
            progress.advance(preparing)
        chosen = [workload for workload in plan(sizes) if not numbers or workload.number in numbers]
        for workload in chosen:
            _run_workload(workload, workers, urls, results, server, minutes / 10, progress)
        for worker in workers.values():
            worker.clean()
    return results


def _run_workload(
    workload: Workload,
    workers: dict[str, Worker],
    slow_urls: dict[str, str],
    results: Results,
    server: Server,
    scale: float,
    progress: Progress,
) -> None:
    one_round = sum(len([name for name in step.subjects if name in workers]) for step in workload.steps)
    if not one_round:
        return
    results.workloads[workload.number] = workload.title
    task = progress.add_task(f"{workload.number}. {workload.title}", total=one_round * workload.rounds)

    def each(number: int, visit: Callable[[Step, Worker], None]) -> None:
        for step in workload.steps:
            for name in _turn([name for name in step.subjects if name in workers], number):
                visit(step, workers[name])

    def arguments(step: Step, name: str) -> dict[str, object]:
        return {**step.arguments, **({"url": slow_urls[name]} if step.over_link else {})}

    def warm_up(step: Step, worker: Worker) -> None:
        if step.warm_up is not None:
            worker.run(step.step, {**arguments(step, worker.subject.name), **step.warm_up})

    def measure(step: Step, worker: Worker) -> None:
        name = worker.subject.name
        for figure, value in worker.run(step.step, arguments(step, name)).items():
            kind = f"{step.measure}:{figure}" if figure else step.measure
            title = f"{step.title}: {figure.replace('_', ' ')}" if figure else step.title
            unit = "" if figure.endswith("_scans") else step.unit
            results.add(Measure(kind, workload.number, title, unit), name, value)
        progress.advance(task)

    start = time.monotonic()
    each(0, warm_up)
    for number in range(workload.rounds):
        began = time.monotonic()
        server.checkpoint()
        each(number, measure)
        took = time.monotonic() - began
        if number + 1 >= workload.least and time.monotonic() + took > start + workload.seconds * scale:
            break
    _finish(progress, task)


def _turn(names: list[str], number: int) -> list[str]:
    """Return the order of a round: each subject comes first, and last, in some of them."""
    if number % 2:
        names = names[::-1]
    first = number // 2 % len(names) if names else 0
    return names[first:] + names[:first]


def _finish(progress: Progress, task: TaskID) -> None:
    """Show a workload whose time was up as complete."""
    done = progress.tasks[task].completed
    progress.update(task, total=done or 1, completed=done or 1)


def _interesting(versions: dict[str, str]) -> dict[str, str]:
    """Leave out what no figure depends on."""
    words = ("sqlalchemy", "psycopg", "alembic", "flask", "postgresql")
    return {name: number for name, number in versions.items() if name == "python" or name.startswith(words)}
