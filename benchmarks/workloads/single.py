"""Many statements of one row each, in one transaction, with Core."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text

from benchmarks.tables import item_values
from benchmarks.work import Figures, Work, stopwatch

WARM_UP = 20


def statements(work: Work, *, name: str, size: int) -> Figures:
    """Send the statement ``name`` for each of ``size`` rows; returns the time of all."""
    (sql,) = work.recorder.statements[name]
    statement = text(sql)
    work.reset(0 if name == "single_insert" else size + WARM_UP)
    parameters = [_parameters(name, number) for number in range(1, size + WARM_UP + 1)]
    with work.engine().connect() as connection, work.recorder.acting():
        with connection.begin():
            for each in parameters[:WARM_UP]:
                connection.execute(statement, each)
        with stopwatch() as watch, connection.begin():
            for each in parameters[WARM_UP:]:
                connection.execute(statement, each)
    return {"": watch.seconds}


def _parameters(name: str, number: int) -> dict[str, Any]:
    values = item_values(number)
    if name == "single_insert":
        return {**values, "details": json.dumps(values["details"])}
    if name == "single_update":
        return {"id": number, "name": f"{values['name']}!", "price": values["price"] + 1}
    return {"id": number}
