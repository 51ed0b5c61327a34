"""How fast a consumer catches up."""

from __future__ import annotations

from time import perf_counter

from sqlalchemy import text

from benchmarks.work import Figures, Work, unrecorded


def backlog(work: Work, *, size: int) -> Figures:
    """Read ``size`` activities, ten of a transaction, in batches that are acknowledged one by one."""
    # The environments of the peers do not have it.
    from benchmarks.subjects.ours import audit_log

    work.reset(1)
    with work.admin.connect() as connection, unrecorded(connection):
        for statement in work.recorder.fill(size, 10):
            connection.execute(text(statement))
    work.vacuum(*work.recorder.trail_tables)
    stream = audit_log.stream(work.engine(), "benchmark", start="beginning")
    start = perf_counter()
    count = 0
    for batch in stream.batches(wait=False):
        count += len(batch)
        batch.acknowledge()
    rate = count / (perf_counter() - start)
    with work.engine().begin() as connection:
        audit_log.remove_stream(connection, "benchmark")
    if count != size:
        raise RuntimeError(f"{count} activities came instead of {size}")
    work.reset()
    return {"": rate}
