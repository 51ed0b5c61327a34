"""What writes an export: a file that takes batches of rows."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from types import TracebackType
from typing import IO, Any

from .columns import COLUMNS, JSON_COLUMNS
from .json import dump, escape

#: What makes a formula of a cell, also as a character of full width.
_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Rows = Sequence[Mapping[str, Any]]


class Writer(AbstractContextManager["Writer"]):
    """Writes rows; the end of the block completes the file."""

    def __init__(self, file: IO[bytes]) -> None:
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
    """Texts are quoted, and none of them is run by a spreadsheet, as OWASP has it; numbers stay numbers."""

    def __init__(self, file: IO[bytes]) -> None:
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
