"""This project: audit-core with SQLAlchemy."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from audit_core import AuditLog, audit_context
from sqlalchemy import Connection, Engine
from sqlalchemy.orm import DeclarativeBase

from benchmarks.subjects.recorder import Recorder
from benchmarks.subjects.trail import fill_columns
from benchmarks.tables import EXCLUDED, VALUES, ItemColumns


class Base(DeclarativeBase):
    pass


class Item(ItemColumns, Base):
    __table_args__ = ({"info": {"versioned": {"exclude": [EXCLUDED]}}},)


audit_log = AuditLog(Base)


class Ours(Recorder):
    item_cls = Item
    trail_tables = ("activity", "transaction")
    change_table = "activity"
    history_query = "SELECT * FROM activity WHERE table_name = 'item' AND row_key = CAST(:key AS text) ORDER BY id"
    transaction_query = "SELECT * FROM activity WHERE transaction_id = :transaction ORDER BY id"

    def install(self, engine: Engine) -> None:
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
            audit_log.install(connection)

    def attach(self, engine: Engine) -> None:
        audit_log.attach(engine)

    def acting(self) -> AbstractContextManager[Any]:
        return audit_context(actor_id="1")

    def before_copy(self, connection: Connection) -> None:
        audit_log.send_context(connection)

    def fill(self, changes: int, for_each_record: int) -> tuple[str, ...]:
        records = changes // for_each_record
        columns, values = fill_columns(
            audit_log.activity_cls,
            issued_at="now()",
            transaction_id="g / 10 + 1",
            row_key=f"(g % {records} + 1)::text",
            old_data=f"to_jsonb(entry) - '{EXCLUDED}' || jsonb_build_object('id', g % {records} + 1)",
            changed_data="jsonb_build_object('name', 'Name ' || g, 'price', g % 1000)",
        )
        transaction_columns, transaction_values = fill_columns(audit_log.transaction_cls)
        return (
            f"INSERT INTO transaction ({transaction_columns}) SELECT {transaction_values} "
            f"FROM generate_series(0, {changes // 10 - 1}) AS g",
            f"INSERT INTO activity ({columns}) SELECT {values} "
            f"FROM generate_series(0, {changes - 1}) AS g, LATERAL (SELECT {VALUES}) AS entry",
        )


recorder = Ours()
