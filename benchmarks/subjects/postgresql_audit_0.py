"""postgresql-audit 0.18: statement triggers, and listeners on every ORM session."""

from __future__ import annotations

from typing import ClassVar

from postgresql_audit import VersioningManager  # type: ignore[import-not-found]
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, configure_mappers

from benchmarks.subjects.recorder import ActivityRecorder
from benchmarks.tables import EXCLUDED, VALUES, ItemColumns


class Base(DeclarativeBase):
    pass


manager = VersioningManager()
manager.init(Base)
# Without values it writes no transaction at all.
manager.values = {"actor_id": "1"}


class Item(ItemColumns, Base):
    __versioned__: ClassVar = {"exclude": [EXCLUDED]}


configure_mappers()


class PostgresqlAudit(ActivityRecorder):
    item_cls = Item

    def install(self, engine: Engine) -> None:
        # The table item asks for a function that comes with the table activity.
        Base.metadata.create_all(engine, tables=[manager.transaction_cls.__table__, manager.activity_cls.__table__])
        Base.metadata.create_all(engine)

    def fill(self, changes: int, for_each_record: int) -> tuple[str, ...]:
        records = changes // for_each_record
        return (
            "INSERT INTO transaction (native_transaction_id, issued_at, actor_id) "
            f"SELECT g::text::xid8, now(), '1' FROM generate_series(0, {changes // 10 - 1}) AS g",
            "INSERT INTO activity (schema_name, table_name, relid, issued_at, native_transaction_id, verb, "
            "transaction_id, old_data, changed_data) "
            "SELECT 'public', 'item', 'item'::regclass::oid::integer, now(), (g / 10)::text::xid8, 'update', "
            f"g / 10 + 1, to_jsonb(entry) - '{EXCLUDED}'::text || jsonb_build_object('id', g % {records} + 1), "
            "jsonb_build_object('name', 'Name ' || g, 'price', g % 1000) "
            f"FROM generate_series(0, {changes - 1}) AS g, LATERAL (SELECT {VALUES}) AS entry",
        )


recorder = PostgresqlAudit()
