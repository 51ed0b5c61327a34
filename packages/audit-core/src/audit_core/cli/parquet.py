"""Parquet files. Needs the extra ``audit-core[parquet]``."""

from __future__ import annotations

from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from audit_core.exporting.columns import COLUMNS
from audit_core.exporting.writers import Rows, Writer

_TYPES: dict[str, Any] = {
    "id": pa.int64(),
    "transaction_id": pa.int64(),
    "delta_depth": pa.int16(),
    "issued_at": pa.timestamp("us", tz="UTC"),
}
_REQUIRED = frozenset(
    {
        "id",
        "transaction_id",
        "issued_at",
        "verb",
        "schema",
        "table",
        "old_data",
        "changed_data",
        "masked",
        "erased",
    }
)


class Parquet(Writer):
    """Each batch of rows is a row group."""

    def __init__(self, file: BinaryIO, has_integer_actors: bool) -> None:
        super().__init__(file)
        self._actor_id: Any = int if has_integer_actors else str
        types = {**_TYPES, "actor_id": pa.int64() if has_integer_actors else pa.string()}
        self._schema = pa.schema(
            [pa.field(name, types.get(name, pa.string()), nullable=name not in _REQUIRED) for name in COLUMNS]
        )
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")

    def write(self, rows: Rows) -> None:
        columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in COLUMNS}
        columns["actor_id"] = [None if each is None else self._actor_id(each) for each in columns["actor_id"]]
        self._writer.write_table(pa.table(columns, schema=self._schema))

    def close(self, is_complete: bool) -> None:
        if is_complete:
            self._writer.close()
        # A writer that is open when it is forgotten writes the end of a complete file.
        self._writer.is_open = False
