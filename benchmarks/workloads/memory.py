"""The memory of client and server while many rows are loaded."""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from sqlalchemy import Connection, text

from benchmarks.tables import COLUMNS
from benchmarks.work import Figures, Work
from benchmarks.workloads.bulk import copy_lines, source_lines


def insert(work: Work, *, size: int, source_rows: int) -> Figures:
    """INSERT ... SELECT of ``size`` rows."""
    sql = text(f"INSERT INTO item ({COLUMNS}) SELECT {COLUMNS} FROM source, generate_series(1, {size // source_rows})")
    return _watched(work, lambda connection: connection.execute(sql))


def copy(work: Work, *, size: int, source_rows: int) -> Figures:
    """COPY of ``size`` rows."""
    lines = source_lines(work, source_rows)
    return _watched(work, lambda connection: copy_lines(work, connection, lines, repeat=size // source_rows))


def _watched(work: Work, load: Callable[[Connection], object]) -> Figures:
    work.reset()
    work.close()  # a server process that has worked before has its memory already
    gc.collect()
    with work.engine().connect() as connection, work.recorder.acting():
        backend = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        connection.rollback()
        with Peak(None) as client, Peak(backend) as server:
            load(connection)
            connection.commit()
    work.reset()
    figures: Figures = {"client": float(client.growth)}
    if server.is_known:
        figures["server"] = float(server.growth)
    return figures


class Peak:
    """Watch the private memory of a process of this machine; None is this process."""

    def __init__(self, process: int | None) -> None:
        self._path = Path("/proc") / ("self" if process is None else str(process)) / "smaps_rollup"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._before = self._highest = self._read()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    @property
    def is_known(self) -> bool:
        """Whether the process could be watched: that of a server elsewhere cannot."""
        return self._before > 0

    @property
    def growth(self) -> int:
        return self._highest - self._before

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self._highest = max(self._highest, self._read())

    def _read(self) -> int:
        # Anonymous memory alone: shared_buffers count as shared memory.
        try:
            found = re.search(r"^Pss_Anon:\s+(\d+) kB$", self._path.read_text(), re.MULTILINE)
        except OSError:
            return 0
        return int(found[1]) * 1024 if found else 0
