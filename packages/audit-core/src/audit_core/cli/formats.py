"""The formats of an export."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, BinaryIO

from .errors import CommandError
from .json import dump, escape
from .writer import COLUMNS, JSON_COLUMNS, Rows, Writer

FORMATS = ("jsonl", "csv", "parquet")

#: What makes a formula of a cell, also as a character of full width.
_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


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
    """Texts are quoted, and none of them is run by a spreadsheet, as OWASP has it; numbers stay numbers."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self._write_row(COLUMNS)

    def write(self, rows: Rows) -> None:
        for row in rows:
            issued_at = row["issued_at"].astimezone(dt.timezone.utc).isoformat()
            self._write_row(list({**row, "issued_at": issued_at}.values()))

    def _write_row(self, values: Sequence[Any]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerow(map(_cell, values))
        self.file.write(line.getvalue().encode())


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, (int, float, Decimal)):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(_RUN) and _NUMBER.fullmatch(text) is None else text


def make_writer(format_: str, file: BinaryIO, has_integer_actors: bool) -> Writer:
    """Return what writes a format.

    :raises CommandError: if it needs a package that is not installed, or a file.
    """
    if format_ == "jsonl":
        return JsonLines(file)
    if format_ == "csv":
        return Csv(file)
    if file.isatty():
        raise CommandError("Parquet is a binary format: name a file with --output, or use a pipe.")
    try:
        from .parquet import Parquet
    except ModuleNotFoundError as error:
        raise CommandError(f'--format parquet needs {error.name!r}. Run: pip install "audit-core[parquet]"') from None
    return Parquet(file, has_integer_actors)
