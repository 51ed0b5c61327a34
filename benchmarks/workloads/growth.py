"""How much the trail grows with each change."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.tables import item_values
from benchmarks.work import Figures, Work
from benchmarks.workloads.bulk import send

# A partitioned table has no size of its own.
SIZES = """
SELECT coalesce(sum(pg_table_size(relid)), 0) AS heap, coalesce(sum(pg_indexes_size(relid)), 0) AS indexes
FROM unnest(CAST(:tables AS text[])) AS named (name),
    LATERAL (SELECT quote_ident(name)::regclass AS relid UNION
             SELECT relid FROM pg_partition_tree(quote_ident(name)::regclass)) AS parts
"""


def single(work: Work, *, name: str, size: int) -> Figures:
    """Insert, update or delete ``size`` objects with the ORM, each in a transaction of its own."""
    work.reset(0 if name == "insert" else size)
    item_cls = work.recorder.item_cls
    engine = work.engine()

    def transaction(number: int) -> None:
        with Session(engine) as session, work.recorder.acting():
            if name == "insert":
                session.add(item_cls(**item_values(number)))
            elif name == "update":
                item = session.get_one(item_cls, number)
                item.name += "!"
                item.price += 1
            else:
                session.delete(session.get_one(item_cls, number))
            session.commit()

    def write() -> None:
        for number in range(1, size + 1):
            transaction(number)

    return _growth(work, write, size)


def bulk(work: Work, *, name: str, size: int) -> Figures:
    """Send one statement for ``size`` rows."""
    work.reset(0 if name == "bulk_insert" else size)

    def write() -> None:
        with work.engine().begin() as connection, work.recorder.acting():
            send(work, connection, name, size)

    return _growth(work, write, size)


def _growth(work: Work, write: Callable[[], None], expected: int) -> Figures:
    before = _sizes(work)
    write()
    after = _sizes(work)
    with work.admin.connect() as connection:
        changes = connection.execute(text(f"SELECT count(*) FROM {work.recorder.change_table}")).scalar_one()
    if changes != expected:
        raise RuntimeError(f"the trail has {changes} changes instead of {expected}")
    heap, indexes = ((new - old) / changes for old, new in zip(before, after, strict=True))
    return {"heap": heap, "indexes": indexes, "total": heap + indexes}


def _sizes(work: Work) -> list[float]:
    with work.admin.connect() as connection:
        row = connection.execute(text(SIZES), {"tables": list(work.recorder.trail_tables)}).one()
    return [float(size) for size in row]
