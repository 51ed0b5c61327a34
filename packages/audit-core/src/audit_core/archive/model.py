"""How the tables of the archive are made: docs/archive.md says the same to those who read them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

from ..errors import ConfigurationError

#: The number of this model. A later one adds columns, and leaves those that are there alone.
VERSION = 1
_VERSION_PROPERTY = "audit-log.model-version"

_COMMON = {
    _VERSION_PROPERTY: str(VERSION),
    "write.parquet.compression-codec": "zstd",
    # Small row groups, so that one record is read from few of them.
    "write.parquet.row-group-limit": "10000",
    "write.metadata.metrics.default": "none",
    # Each archived partition adds a manifest; planning reads them all.
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "20",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}


@dataclass(frozen=True)
class Described:
    """A table of the archive."""

    schema: Schema
    partition_spec: PartitionSpec
    sort_order: SortOrder
    properties: Mapping[str, str]

    @property
    def arrow_schema(self) -> pa.Schema:
        """Its columns as Arrow has them."""
        fields = self.schema.fields
        return pa.schema(
            [pa.field(each.name, _ARROW[type(each.field_type)], nullable=not each.required) for each in fields]
        )

    def batch(self, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
        """Make a batch of rows; times are given in microseconds."""
        arrays = [
            pa.array(values, pa.int64() if pa.types.is_timestamp(field.type) else field.type).cast(field.type)
            for values, field in zip(zip(*rows, strict=True), self.arrow_schema, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.arrow_schema)

    def rows(self, batch: pa.RecordBatch, names: Iterable[str]) -> Iterable[tuple[Any, ...]]:
        """Return the rows of a batch; times in microseconds."""
        columns = (batch.column(batch.schema.get_field_index(name)) for name in names)
        return zip(*(_plain(each).to_pylist() for each in columns), strict=True)

    def written(self, batch: pa.RecordBatch, names: Iterable[str]) -> list[str]:
        """Write the rows of a batch as :mod:`audit_core.lifecycle.checksum` says."""
        text, none, between = pa.large_string(), pa.scalar("-", pa.large_string()), pa.scalar(":", pa.large_string())
        parts = []
        for name in names:
            values = _plain(batch.column(batch.schema.get_field_index(name))).cast(text)
            lengths = pc.utf8_length(values).cast(text)
            parts.append(pc.fill_null(pc.binary_join_element_wise(lengths, values, between), none))
        rows: list[str] = pc.binary_join_element_wise(*parts, pa.scalar("", text)).to_pylist()
        return rows


def _plain(column: Any) -> Any:
    return column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column


_ARROW: dict[Any, Any] = {
    LongType: pa.int64(),
    StringType: pa.large_string(),
    TimestamptzType: pa.timestamp("us", tz="UTC"),
}


def _described(
    columns: Sequence[tuple[str, Any, bool, str]], sorted_by: Sequence[str], precise: Sequence[str]
) -> Described:
    schema = Schema(
        *(
            NestedField(number, name, type_, required=required, doc=doc)
            for number, (name, type_, required, doc) in enumerate(columns, 1)
        )
    )
    issued_at = schema.find_field("issued_at").field_id
    spec = PartitionSpec(PartitionField(issued_at, 1000, MonthTransform(), "issued_at_month"))
    order = SortOrder(*(SortField(schema.find_field(name).field_id, IdentityTransform()) for name in sorted_by))
    # By the bounds of these columns, files are left out.
    metrics = {f"write.metadata.metrics.column.{name}": "truncate(64)" for name in precise}
    return Described(schema, spec, order, {**_COMMON, **metrics})


ACTIVITY = _described(
    (
        ("id", LongType(), True, "orders the changes of a record, and of the whole trail within a transaction"),
        ("transaction_id", LongType(), True, "transaction.id"),
        ("issued_at", TimestamptzType(), True, "when the change was made"),
        ("native_transaction_id", LongType(), True, "the number that PostgreSQL gave the transaction"),
        ("relid", LongType(), True, "the number of the table in the database that recorded it"),
        ("schema", StringType(), True, "of the table"),
        ("table_name", StringType(), True, "as it was then"),
        ("verb", StringType(), True, "insert, update, delete, truncate, snapshot, bypass, maintenance or read"),
        ("row_key", StringType(), False, "the primary key; a JSON array of a composite one"),
        ("old_row_key", StringType(), False, "the primary key before an update that changed it"),
        ("old_data", StringType(), True, "JSON: the row before the change"),
        ("changed_data", StringType(), True, "JSON: the row of an insert, the changed columns of an update"),
        ("masked", StringType(), False, "JSON: the names of the columns that are masked"),
        ("delta_depth", LongType(), False, "so many activities before it under its key stands the rest of old_data"),
        ("erased", StringType(), False, "JSON: the names of the columns whose values were erased"),
    ),
    ("table_name", "row_key", "id"),
    ("id", "transaction_id", "issued_at", "table_name", "row_key", "old_row_key", "verb"),
)
TRANSACTION = _described(
    (
        ("id", LongType(), True, "activity.transaction_id refers to it"),
        ("native_transaction_id", LongType(), True, "the number that PostgreSQL gave it"),
        ("issued_at", TimestamptzType(), True, "when it began"),
        ("actor_id", StringType(), False, "the primary key of who did it, as text"),
        ("client_addr", StringType(), False, "from where"),
        ("meta", StringType(), False, "JSON: what else the context said"),
        ("db_user", StringType(), True, "the role that logged in"),
        ("application_name", StringType(), True, "what the client called itself"),
        ("erased", StringType(), False, "JSON: what of it was erased"),
        ("partition_end_id", LongType(), True, "the ids of the archived partition with which it came end before this"),
    ),
    ("id",),
    ("id", "issued_at", "actor_id", "partition_end_id"),
)
TABLES = {"activity": ACTIVITY, "transaction": TRANSACTION}


def require_known(table: Table) -> None:
    """Refuse a table of a later version, or one that is not ours.

    :raises ConfigurationError: if it is one.
    """
    version = table.properties.get(_VERSION_PROPERTY)
    if version is None:
        raise ConfigurationError(
            f"{'.'.join(table.name())!r} of the catalog is not a table of an archive. Use another catalog or warehouse."
        )
    if int(version) > VERSION:
        raise ConfigurationError(
            f"The archive has the model version {version}, and this audit-core knows versions up to {VERSION}. Install "
            "a later audit-core."
        )
