"""Reading a long trail."""

from __future__ import annotations

import random
from statistics import median
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, text

from benchmarks.work import Figures, Work, unrecorded

FOR_EACH_RECORD = 10


def reading(work: Work, *, size: int, seconds: float) -> Figures:
    """Read the history of records and the changes of transactions, from a trail of ``size`` changes.

    ``*_scans`` is 1 if the plan reads a table from end to end.
    """
    work.reset(1)
    recorder = work.recorder
    with work.admin.connect() as connection, unrecorded(connection):
        for statement in recorder.fill(size, FOR_EACH_RECORD):
            connection.execute(text(statement))
    work.vacuum(*recorder.trail_tables)
    figures: Figures = {}
    with work.admin.connect() as connection:
        for figure, query, parameter, values in (
            ("history", recorder.history_query, "key", size // FOR_EACH_RECORD),
            ("transaction", recorder.transaction_query, "transaction", size // 10),
        ):
            assert query is not None
            figures[figure] = _median_time(connection, query, parameter, values, seconds / 2)
            figures[f"{figure}_scans"] = float(_scans(connection, query, parameter))
    work.reset()
    return figures


def _median_time(connection: Connection, query: str, parameter: str, values: int, seconds: float) -> float:
    choice = random.Random(values)
    statement = text(query)
    times: list[float] = []
    until = perf_counter() + seconds
    while len(times) < 4 or (perf_counter() < until and len(times) < 500):
        start = perf_counter()
        rows = connection.execute(statement, {parameter: choice.randint(1, values)}).all()
        times.append(perf_counter() - start)
        if len(rows) != 10:
            raise RuntimeError(f"{len(rows)} rows instead of 10: {query}")
    return median(times[1:])


def _scans(connection: Connection, query: str, parameter: str) -> bool:
    plan = connection.execute(text(f"EXPLAIN (FORMAT JSON) {query}"), {parameter: 1}).scalar_one()
    return any(node["Node Type"] == "Seq Scan" for node in _nodes(plan[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", ()) for below in _nodes(child))]
