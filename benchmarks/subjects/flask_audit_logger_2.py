"""flask-audit-logger 2.0.0, the predecessor: statement triggers, and listeners on every ORM session."""

from __future__ import annotations

from flask_audit_logger import AuditLogger
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Engine, Integer
from sqlalchemy.orm import Mapped, mapped_column

from benchmarks.subjects.recorder import ActivityRecorder
from benchmarks.tables import EXCLUDED, VALUES, ItemColumns

db = SQLAlchemy()


class User(db.Model):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)


class Item(ItemColumns, db.Model):
    __table_args__ = ({"info": {"audit_logged": {"exclude": [EXCLUDED]}}},)


# A constant: its default reads current_user.id, which may cost a SELECT in each transaction.
audit_logger = AuditLogger(db, get_actor_id=lambda: 1)


class Predecessor(ActivityRecorder):
    item_cls = Item

    def install(self, engine: Engine) -> None:
        """Run what its operations run in a migration, in their order."""
        with engine.begin() as connection:
            connection.execute(audit_logger.pg_btree_gist_extension.create_sql)
            db.metadata.create_all(connection)
            for part in (*audit_logger.pg_functions, *audit_logger.pg_triggers):
                connection.execute(part.create_sql)
            connection.exec_driver_sql("INSERT INTO users VALUES (1)")

    def fill(self, changes: int, for_each_record: int) -> tuple[str, ...]:
        records = changes // for_each_record
        return (
            "INSERT INTO transaction (native_transaction_id, issued_at, actor_id) "
            f"SELECT g, now(), 1 FROM generate_series(0, {changes // 10 - 1}) AS g",
            "INSERT INTO activity (schema, table_name, relid, issued_at, native_transaction_id, verb, "
            "transaction_id, old_data, changed_data) "
            "SELECT 'public', 'item', 'item'::regclass::oid::integer, now(), g / 10, 'update', g / 10 + 1, "
            f"to_jsonb(entry) - '{EXCLUDED}' || jsonb_build_object('id', g % {records} + 1), "
            "jsonb_build_object('name', 'Name ' || g, 'price', g % 1000) "
            f"FROM generate_series(0, {changes - 1}) AS g, LATERAL (SELECT {VALUES}) AS entry",
        )


recorder = Predecessor()
