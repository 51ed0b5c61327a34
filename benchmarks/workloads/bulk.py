"""One statement for many rows, with its commit."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, text

from benchmarks.tables import COLUMNS
from benchmarks.work import Figures, Work, stopwatch


def statement(work: Work, *, name: str, size: int) -> Figures:
    """Send the statement ``name``, which writes ``size`` rows."""
    work.reset(0 if name == "bulk_insert" else size)
    with work.engine().connect() as connection, work.recorder.acting(), stopwatch() as watch:
        send(work, connection, name, size)
        connection.commit()
    return {"": watch.seconds}


def send(work: Work, connection: Connection, name: str, rows: int) -> None:
    """Send a statement and what the subject adds to it."""
    for sql in work.recorder.statements[name]:
        connection.execute(text(sql), {"rows": rows} if ":rows" in sql else {})


def copy(work: Work, *, size: int) -> Figures:
    """COPY ``size`` rows from the client."""
    work.reset()
    lines = source_lines(work, size)
    with work.engine().connect() as connection, work.recorder.acting(), stopwatch() as watch:
        copy_lines(work, connection, lines, repeat=1)
        send(work, connection, "bulk_copy", size)
        connection.commit()
    return {"": watch.seconds}


def copy_lines(work: Work, connection: Connection, lines: list[bytes], repeat: int) -> None:
    """COPY the lines, as often as ``repeat`` says."""
    work.recorder.before_copy(connection)
    with _cursor(connection) as cursor, cursor.copy(f"COPY item ({COLUMNS}) FROM STDIN") as target:
        for _ in range(repeat):
            for line in lines:
                target.write(line)


def source_lines(work: Work, rows: int) -> list[bytes]:
    """Return rows as COPY writes them, in pieces of some size."""
    sql = f"COPY (SELECT {COLUMNS} FROM source LIMIT {rows}) TO STDOUT"
    with work.admin.connect() as connection, _cursor(connection) as cursor, cursor.copy(sql) as source:
        everything = b"".join(bytes(piece) for piece in source)
    size = 1 << 16
    return [everything[start : start + size] for start in range(0, len(everything), size)]


def _cursor(connection: Connection) -> Any:
    return connection.connection.cursor()
