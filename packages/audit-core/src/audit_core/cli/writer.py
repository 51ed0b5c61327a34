"""What an export writes, and what writes it: the columns of a row, and a file that takes batches of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, BinaryIO

COLUMNS = (
    "id",
    "issued_at",
    "transaction_id",
    "actor_id",
    "actor",
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
    "delta_depth",
    "masked",
    "erased",
)
JSON_COLUMNS = frozenset({"meta", "old_data", "changed_data", "masked", "erased"})

Rows = Sequence[Mapping[str, Any]]


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
