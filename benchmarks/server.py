"""The PostgreSQL server of the benchmark: databases, a slow link to it, and what it says of itself."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.client import ROOT
from benchmarks.errors import BenchmarkError
from dev.postgres import throwaway_server

#: For the throwaway server. Nothing happens in its background: tables are vacuumed and checkpoints made between the
#: rounds.
SETTINGS = {
    "shared_buffers": "256MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "fsync": "on",
}
SHOWN = (*SETTINGS, "work_mem", "synchronous_commit", "fsync", "full_page_writes", "wal_level", "jit")


class Server:
    """A server on which every subject gets a database."""

    def __init__(self, url: URL) -> None:
        self.url = url
        self._engine: Engine = create_engine(url, isolation_level="AUTOCOMMIT")

    @contextmanager
    def database(self, subject: str) -> Iterator[URL]:
        """Create an empty database for a subject; it is dropped at the end."""
        name = f"audit_bench_{subject.replace('-', '_')}"
        self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._execute(f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            yield self.url.set(database=name)
        finally:
            self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def checkpoint(self) -> None:
        self._execute("CHECKPOINT")

    def work_mem(self) -> int:
        """Return work_mem in bytes."""
        with self._engine.connect() as connection:
            size: int = connection.execute(text("SELECT pg_size_bytes(current_setting('work_mem'))")).scalar_one()
        return size

    def describe(self) -> dict[str, Any]:
        """Return version and settings."""
        with self._engine.connect() as connection:
            version = connection.execute(text("SELECT current_setting('server_version')")).scalar_one()
            rows = connection.execute(
                text("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY (:names)"),
                {"names": list(SHOWN)},
            ).all()
            is_superuser = connection.execute(text("SELECT current_setting('is_superuser')")).scalar_one()
        if is_superuser != "on":
            raise BenchmarkError("The role is not a superuser, who can switch triggers off to empty a protected trail.")
        return {"version": version, "settings": dict(sorted(tuple(row) for row in rows))}

    def close(self) -> None:
        self._engine.dispose()

    def _execute(self, sql: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(sql))


@contextmanager
def server(url: str | None) -> Iterator[Server]:
    """Use the server of a URL, or start one for as long as the block lasts.

    :raises BenchmarkError: if the server does not answer.
    """
    if url is not None:
        yield from _opened(url)
        return
    with throwaway_server() as throwaway:
        engine = create_engine(_psycopg(throwaway.url), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for name, value in SETTINGS.items():
                connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
            connection.execute(text("CHECKPOINT"))
        engine.dispose()
        # Some of the settings need a new start.
        throwaway.kill()
        throwaway.start()
        yield from _opened(throwaway.url)


def _opened(url: str) -> Iterator[Server]:
    opened = Server(_psycopg(url))
    try:
        opened.describe()
    except SQLAlchemyError as error:
        raise BenchmarkError(f"The server of the URL does not answer: {error}") from error
    try:
        yield opened
    finally:
        opened.close()


def _psycopg(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")


@contextmanager
def link(url: URL, delay: float) -> Iterator[URL]:
    """Start a link that holds everything back for ``delay`` seconds each way, and yield the URL at its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.link", url.host or "127.0.0.1", str(url.port or 5432), str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        port = process.stdout.readline()
        if not port:
            raise BenchmarkError("the link does not start: its error is above")
        yield url.set(host="127.0.0.1", port=int(port))
    finally:
        process.stdin.close()
        process.wait(10)


def round_trip(url: URL) -> float:
    """Return how long a server takes to answer, in seconds."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    times = []
    with engine.connect() as connection:
        for _ in range(200):
            start = perf_counter()
            connection.exec_driver_sql("SELECT 1")
            times.append(perf_counter() - start)
    engine.dispose()
    return median(times)


def machine() -> dict[str, Any]:
    """Return what the numbers depend on, but the server."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = models[0] if models else model
    return {"cpu": model, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}
