"""The ORM, one object a transaction, with a session of its own as in a web request."""

from __future__ import annotations

import gc
from collections.abc import Callable
from statistics import median
from time import perf_counter

from sqlalchemy.orm import Session

from benchmarks.tables import item_values
from benchmarks.work import Figures, Work

WARM_UP = 10


def insert(work: Work, *, size: int, url: str | None = None) -> Figures:
    """Add an object and commit."""
    engine = work.engine(url)
    work.reset()

    def transaction(number: int) -> None:
        with Session(engine) as session, work.recorder.acting():
            session.add(work.recorder.item_cls(**item_values(number)))
            session.commit()

    return {"": _median_time(transaction, size)}


def update(work: Work, *, size: int, url: str | None = None) -> Figures:
    """Get an object, change two attributes and commit."""
    engine = work.engine(url)
    work.reset(size + WARM_UP)

    def transaction(number: int) -> None:
        with Session(engine) as session, work.recorder.acting():
            item = session.get_one(work.recorder.item_cls, number)
            item.name += "!"
            item.price += 1
            session.commit()

    return {"": _median_time(transaction, size)}


def _median_time(transaction: Callable[[int], None], size: int) -> float:
    times = []
    gc.collect()
    for number in range(1, size + WARM_UP + 1):
        start = perf_counter()
        transaction(number)
        times.append(perf_counter() - start)
    # The first ones fill caches: of connections, of compiled SQL, of plans.
    return median(times[WARM_UP:])
