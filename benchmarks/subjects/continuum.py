"""SQLAlchemy-Continuum 2: the ORM writes a version of each object that it flushes."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy.orm import DeclarativeBase, configure_mappers
from sqlalchemy_continuum import make_versioned  # type: ignore[import-not-found]

from benchmarks.subjects.recorder import Recorder
from benchmarks.tables import EXCLUDED, VALUES, ItemColumns

make_versioned(user_cls=None)


class Base(DeclarativeBase):
    pass


class Item(ItemColumns, Base):
    __versioned__: ClassVar = {"exclude": [EXCLUDED]}


configure_mappers()


class Continuum(Recorder):
    item_cls = Item
    trail_tables = ("item_version", "transaction")
    change_table = "item_version"
    history_query = "SELECT * FROM item_version WHERE id = :key ORDER BY transaction_id"
    transaction_query = "SELECT * FROM item_version WHERE transaction_id = :transaction"

    def fill(self, changes: int, for_each_record: int) -> tuple[str, ...]:
        records = changes // for_each_record
        columns = "code, name, category, description, price, active, created_at, details"
        return (
            "INSERT INTO transaction (id, issued_at) "
            f"SELECT g + 1, now() FROM generate_series(0, {changes // 10 - 1}) AS g",
            f"INSERT INTO item_version (id, transaction_id, operation_type, {columns}) "
            f"SELECT g % {records} + 1, g / 10 + 1, 1, {columns} "
            f"FROM generate_series(0, {changes - 1}) AS g, LATERAL (SELECT {VALUES}) AS entry",
        )


recorder = Continuum()
