"""The statements of the workloads that send SQL; a subject may add to them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from benchmarks.tables import COLUMNS

_PLACES = ", ".join(
    "CAST(:details AS jsonb)" if column == "details" else f":{column}" for column in COLUMNS.split(", ")
)

#: Name of a step -> what it sends, in order.
STATEMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "single_insert": (f"INSERT INTO item ({COLUMNS}) VALUES ({_PLACES})",),
        "single_update": ("UPDATE item SET name = :name, price = :price WHERE id = :id",),
        "single_excluded": ("UPDATE item SET views = views + 1 WHERE id = :id",),
        "bulk_insert": (f"INSERT INTO item ({COLUMNS}) SELECT {COLUMNS} FROM source LIMIT :rows",),
        "bulk_update": ("UPDATE item SET name = name || '!', price = price + 1",),
        "bulk_delete": ("DELETE FROM item",),
        "bulk_excluded": ("UPDATE item SET views = views + 1",),
        # After a COPY, which is not a statement of SQLAlchemy.
        "bulk_copy": (),
    }
)
