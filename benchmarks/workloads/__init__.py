"""What is measured. A step prepares, times what counts, and returns figures in seconds, bytes or 1/s."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.work import Figures
from benchmarks.workloads import (
    bulk,
    concurrent,
    flush,
    growth,
    many_tables,
    memory,
    orm,
    reading,
    single,
    stream,
    wide,
    years,
)

STEPS: Mapping[str, Callable[..., Figures]] = {
    "orm_insert": orm.insert,
    "orm_update": orm.update,
    "single": single.statements,
    "bulk": bulk.statement,
    "bulk_copy": bulk.copy,
    "flush": flush.one_change,
    "writers": concurrent.writers,
    "reading": reading.reading,
    "growth_single": growth.single,
    "growth_bulk": growth.bulk,
    "memory_insert": memory.insert,
    "memory_copy": memory.copy,
    "many_tables": many_tables.install,
    "stream": stream.backlog,
    "years": years.partitions,
    "wide": wide.updates,
    "wide_growth": wide.growth,
}
