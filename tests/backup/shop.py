"""An application whose database is dumped and restored."""

from __future__ import annotations

from typing import Any

from audit_core import AuditLog
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table


class Shop:
    """Its tables and its trail, in a schema of its own or beside the tables."""

    def __init__(self, schema: str | None) -> None:
        metadata = MetaData()
        self.log = AuditLog(metadata, schema=schema)
        info: dict[str, Any] = {"versioned": {}}
        self.customers = Table(
            "customers", metadata, Column("id", Integer, primary_key=True), Column("name", String), info=info
        )
        self.orders = Table(
            "orders",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("customer_id", ForeignKey("customers.id", ondelete="CASCADE")),
            info=info,
        )
        self.events = Table(
            "events",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("year", Integer, primary_key=True),
            postgresql_partition_by="LIST (year)",
            info=info,
        )

    @property
    def tables(self) -> list[Table]:
        return [self.customers, self.orders, self.events]
