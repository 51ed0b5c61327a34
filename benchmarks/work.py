"""What a worker has at hand: its subject, its database and the link to it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from sqlalchemy import Connection, Engine, create_engine, text

from benchmarks.subjects.recorder import Recorder
from benchmarks.tables import COLUMNS, create_source

#: What a step returns: figure -> its value, or the values of several repetitions.
Figures = dict[str, float | list[float]]


@dataclass
class Work:
    """A subject in its database."""

    recorder: Recorder
    url: str
    _engines: dict[str, Engine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # For what is not measured: no listener of the subject is attached to it.
        self.admin = create_engine(self.url, isolation_level="AUTOCOMMIT")

    def engine(self, url: str | None = None) -> Engine:
        """Return the engine of the subject, through another address if one is given."""
        url = url or self.url
        if url not in self._engines:
            engine = create_engine(url)
            self.recorder.attach(engine)
            self._engines[url] = engine
        return self._engines[url]

    def prepare(self, source_rows: int) -> None:
        """Create the tables, what records them, and the source of bulk loads."""
        self.recorder.install(self.admin)
        with self.admin.connect() as connection:
            connection.execute(text(create_source(source_rows)))
            connection.execute(text("VACUUM (ANALYZE) source"))

    def reset(self, rows: int = 0) -> None:
        """Empty the tables and the trail, and put ``rows`` items into the table, unrecorded."""
        with self.admin.connect() as connection, unrecorded(connection):
            tables = ", ".join(("item", *self.recorder.trail_tables))
            connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY"))
            if rows:
                connection.execute(
                    text(f"INSERT INTO item ({COLUMNS}) SELECT {COLUMNS} FROM source LIMIT :rows"), {"rows": rows}
                )
        self.vacuum("item")

    def vacuum(self, *tables: str) -> None:
        """Bring statistics and visibility up to date; autovacuum may be off, or come at any time."""
        with self.admin.connect() as connection:
            connection.execute(text(f"VACUUM (ANALYZE) {', '.join(tables)}"))

    def close(self) -> None:
        """Close all connections; the engines open new ones when they are needed."""
        for engine in (self.admin, *self._engines.values()):
            engine.dispose()


@contextmanager
def unrecorded(connection: Connection) -> Iterator[None]:
    """Switch triggers off, those that protect a trail too. Needs a superuser."""
    connection.execute(text("SET session_replication_role = replica"))
    try:
        yield
    finally:
        connection.execute(text("SET session_replication_role = DEFAULT"))


@dataclass
class Stopwatch:
    """Seconds spent in a block."""

    seconds: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time the block, with the garbage of what was before out of the way."""
    gc.collect()
    watch = Stopwatch()
    start = perf_counter()
    yield watch
    watch.seconds = perf_counter() - start
