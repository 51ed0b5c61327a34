"""A session that holds many objects, of which one has changed."""

from __future__ import annotations

import gc
from statistics import median
from time import perf_counter, process_time

from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.work import Figures, Work

WARM_UP = 3


def one_change(work: Work, *, size: int, clean: int) -> Figures:
    """Flush one change ``size`` times, with ``clean`` unchanged objects in the session.

    ``cpu`` is what the client's process computed; the rest of the time it waited for the server.
    """
    work.reset(clean + 1)
    item_cls = work.recorder.item_cls
    times, cpu_times = [], []
    with Session(work.engine()) as session, work.recorder.acting():
        changed, *others = session.scalars(select(item_cls).order_by(item_cls.id).limit(clean + 1)).all()
        gc.collect()
        for number in range(size + WARM_UP):
            changed.name = f"Another name {number}"
            start, cpu_start = perf_counter(), process_time()
            session.flush()
            times.append(perf_counter() - start)
            cpu_times.append(process_time() - cpu_start)
        session.rollback()
        del others  # a session holds unchanged objects only as long as somebody else does
    return {"": median(times[WARM_UP:]), "cpu": median(cpu_times[WARM_UP:])}
