"""The formats of an export."""

from __future__ import annotations

from typing import BinaryIO

from audit_core.exporting.writers import Csv, JsonLines, Writer

from .errors import CommandError

FORMATS = ("jsonl", "csv", "parquet")


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
