"""The formats of an export: each writes rows that have ``COLUMNS`` to a file, batch by batch."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, BinaryIO

from sqlalchemy import RowMapping

from .errors import CommandError
from .json import dump, escape

FORMATS = ("jsonl", "csv", "parquet")

COLUMNS = (
    "id",
    "issued_at",
    "transaction_id",
    "actor_id",
    "client_addr",
    "db_user",
    "application_name",
    "meta",
    "verb",
    "schema",
    "table",
    "row_key",
    "old_data",
    "changed_data",
)
JSON_COLUMNS = frozenset({"meta", "old_data", "changed_data"})

Rows = Sequence[RowMapping]


class Writer(AbstractContextManager["Writer"]):
    """Writes rows; the end of the block completes the file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def write(self, rows: Rows) -> None:
        raise NotImplementedError

    def close(self, is_complete: bool) -> None:
        """Write what stands at the end."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(kind is None)


class JsonLines(Writer):
    def write(self, rows: Rows) -> None:
        for row in rows:
            # What is JSON already stays as the database writes it.
            values = (
                f"{dump(name)}: {escape(value) if name in JSON_COLUMNS and value is not None else dump(value)}"
                for name, value in row.items()
            )
            self.file.write(f"{{{', '.join(values)}}}\n".encode())


class Csv(Writer):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._write_row(COLUMNS)

    def write(self, rows: Rows) -> None:
        for row in rows:
            issued_at = row["issued_at"].astimezone(dt.timezone.utc).isoformat()
            self._write_row(list({**row, "issued_at": issued_at}.values()))

    def _write_row(self, values: Sequence[Any]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        self.file.write(line.getvalue().encode())


def writer(format_: str, file: BinaryIO, has_integer_actors: bool) -> Writer:
    """Return what writes a format."""
    if format_ == "jsonl":
        return JsonLines(file)
    if format_ == "csv":
        return Csv(file)
    if file.isatty():
        raise CommandError("Parquet is nothing for a terminal. Give a file with --output.")
    try:
        from .parquet import Parquet
    except ModuleNotFoundError as error:
        raise CommandError(f'--format parquet needs {error.name!r}. Run: pip install "audit-core[parquet]"') from None
    return Parquet(file, has_integer_actors)
