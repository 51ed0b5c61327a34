"""Writers in processes of their own."""

from __future__ import annotations

import multiprocessing
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from time import perf_counter

from sqlalchemy.orm import Session

from benchmarks.work import Figures, Work

ROWS = 800


def writers(work: Work, *, size: int, seconds: float) -> Figures:
    """Change objects in ``size`` processes, each its own, and return transactions per second."""
    work.reset(ROWS)
    work.close()  # no process may inherit a connection
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(size)
    counts: SimpleQueue[float] = context.SimpleQueue()
    processes = [
        context.Process(target=_write, args=(work, barrier, counts, range(1 + k, ROWS + 1, size), seconds))
        for k in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(seconds + 60)
    if any(process.exitcode != 0 for process in processes):
        for process in processes:
            process.kill()
        raise RuntimeError("a writer failed: its error is above")
    return {"": sum(counts.get() for _ in processes)}


def _write(work: Work, barrier: Barrier, counts: SimpleQueue[float], ids: range, seconds: float) -> None:
    recorder = work.recorder
    engine = work.engine()

    def transaction(key: int) -> None:
        with Session(engine) as session, recorder.acting():
            session.get_one(recorder.item_cls, key).name += "!"
            session.commit()

    for key in ids[:5]:
        transaction(key)
    barrier.wait(60)
    start = perf_counter()
    done = 0
    while perf_counter() < start + seconds:
        transaction(ids[done % len(ids)])
        done += 1
    counts.put(done / (perf_counter() - start))
    engine.dispose()
