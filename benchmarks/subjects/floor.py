"""The floor: the same rows as jsonb into the same kind of table, without a trigger.

No trigger can be quicker than writing what it has to write.
"""

from __future__ import annotations

from audit_core import AuditLog
from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase

from benchmarks.statements import STATEMENTS
from benchmarks.subjects.recorder import Recorder
from benchmarks.subjects.trail import fill_columns
from benchmarks.tables import EXCLUDED, ItemColumns


class Base(DeclarativeBase):
    pass


class Item(ItemColumns, Base):
    """Not marked: nothing records it."""


audit_log = AuditLog(Base)


def writing(key: str, old: str, changed: str, source: str) -> str:
    """Return the statement that writes the trail of the rows of ``source``."""
    columns, values = fill_columns(audit_log.activity_cls, row_key=key, old_data=old, changed_data=changed)
    return f"INSERT INTO floor_activity ({columns}) SELECT {values} FROM {source}"


ROW = f"to_jsonb(item) - '{EXCLUDED}'"
OF_INSERTS = writing("id::text", "'{}'", ROW, "item")
OF_DELETES = writing("id::text", ROW, "'{}'", "item")
OF_UPDATES = writing("id::text", ROW, "jsonb_build_object('name', name || '!', 'price', price + 1)", "item")
OF_AN_INSERT = writing("id::text", "'{}'", f"to_jsonb(added) - '{EXCLUDED}'", "added")
OF_AN_UPDATE = writing(
    "before.id::text",
    f"to_jsonb(before) - '{EXCLUDED}'",
    "jsonb_build_object('name', after.name, 'price', after.price)",
    "before, after",
)


# One statement for one row, as with a trigger: a second one would cost a round trip of its own.
STATEMENTS_OF_FLOOR = {
    **STATEMENTS,
    "single_insert": (f"WITH added AS ({STATEMENTS['single_insert'][0]} RETURNING *) {OF_AN_INSERT}",),
    "single_update": (
        "WITH before AS (SELECT * FROM item WHERE id = :id), "
        f"after AS ({STATEMENTS['single_update'][0]} RETURNING *) {OF_AN_UPDATE}",
    ),
    "bulk_insert": (*STATEMENTS["bulk_insert"], OF_INSERTS),
    "bulk_update": (OF_UPDATES, *STATEMENTS["bulk_update"]),
    "bulk_delete": (OF_DELETES, *STATEMENTS["bulk_delete"]),
    "bulk_copy": (OF_INSERTS,),
}


class Floor(Recorder):
    item_cls = Item
    statements = STATEMENTS_OF_FLOOR
    trail_tables = ("floor_activity",)
    change_table = "floor_activity"

    def install(self, engine: Engine) -> None:
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
            audit_log.install(connection)
            connection.exec_driver_sql("CREATE TABLE floor_activity (LIKE activity INCLUDING ALL)")


recorder = Floor()
