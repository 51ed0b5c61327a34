"""A trail of which parts are old."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from audit_core import AuditLog, audit_context
from sqlalchemy import Engine, Numeric, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

YEAR = dt.timedelta(days=365)


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    __table_args__: Any = ({"info": {"versioned": {"mask": ["secret"], "store": "changes"}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    more: Mapped[Any] = mapped_column(JSONB, nullable=True)
    secret: Mapped[str | None]


class Part(Base):
    __tablename__ = "parts"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    item_id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(primary_key=True)
    n: Mapped[int]


audit_log = AuditLog(Base)


class Trail:
    """The trail in a database, and its archive in a folder."""

    def __init__(self, engine: Engine, warehouse: Path) -> None:
        self.engine = engine
        self.warehouse = warehouse
        self.log = audit_log
        self.log.attach(engine)
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
            self.log.install(connection)

    def add(self, *objects: Any, actor: str = "ann", **context: Any) -> None:
        with audit_context(actor_id=actor, **context), Session(self.engine) as session, session.begin():
            session.add_all(objects)

    def change(self, model: Any, key: Any, actor: str = "ann", **values: Any) -> None:
        with audit_context(actor_id=actor), Session(self.engine) as session, session.begin():
            row = session.get_one(model, key)
            for name, value in values.items():
                setattr(row, name, value)

    def delete(self, model: Any, key: Any) -> None:
        with audit_context(actor_id="ann"), Session(self.engine) as session, session.begin():
            session.delete(session.get_one(model, key))

    def close(self, age: dt.timedelta = dt.timedelta(0)) -> None:
        """Close the open partition, and make all that is recorded older."""
        self.log.split(self.engine, at_once=True)
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = 'on'")
            for table, columns in (
                ("activity", ["issued_at"]),
                ("transaction", ["issued_at"]),
                ("activity_coverage", ["issued_at"]),
                ("activity_partition", ["first_issued_at", "last_issued_at"]),
            ):
                moved = ", ".join(f"{each} = {each} - interval '{age.days} days'" for each in columns)
                connection.exec_driver_sql(f"UPDATE {table} SET {moved}")

    def three_years(self) -> None:
        """Two partitions that are older than a year, one of this year, and the open one."""
        self.add(Item(id=1, name="one", price=Decimal("1.10"), secret="x"), Item(id=2, name="two"), reason="first")
        self.add(Part(item_id=1, code="a", n=1), actor="ben")
        self.close(YEAR)
        self.change(Item, 1, name="uno", actor="ben")
        self.change(Item, 2, id=20)
        self.close(YEAR)
        self.change(Item, 1, price=Decimal("1.20"))
        self.delete(Part, (1, "a"))
        self.close(YEAR / 2)
        self.change(Item, 20, name="zwei")

    def archive(self, older_than: str = "1y", **options: Any) -> Sequence[Any]:
        return self.log.archive(self.engine, str(self.warehouse), older_than=older_than, **options)

    def names(self) -> list[str]:
        with self.engine.connect() as connection:
            return [each.name for each in self.log.partitions(connection)]

    def recorded(self, but: Sequence[str] = ("maintenance",)) -> list[tuple[Any, ...]]:
        """All that the database has, as the texts that it makes of it."""
        with self.engine.connect() as connection:
            query = text(
                "SELECT CAST(a AS text), CAST(t AS text) FROM activity AS a LEFT JOIN transaction AS t "
                "ON t.id = a.transaction_id WHERE a.verb <> ALL (:but) ORDER BY a.id"
            )
            return [tuple(row) for row in connection.execute(query, {"but": list(but)})]

    def operations(self, operation: str) -> list[dict[str, Any]]:
        activity = self.log.activity_cls
        with self.engine.connect() as connection:
            done = connection.scalars(
                select(activity.changed_data).where(activity.verb == "maintenance").order_by(activity.id)
            )
            return [each for each in done if each["operation"] == operation]


def said(activities: Any) -> list[tuple[Any, ...]]:
    """All that activities say, with their transactions."""
    return [
        (
            *(getattr(each, name) for name in _ACTIVITY),
            *(None if each.transaction is None else getattr(each.transaction, name) for name in _TRANSACTION),
        )
        for each in activities
    ]


_ACTIVITY = (
    "id transaction_id issued_at native_transaction_id relid schema table_name verb row_key old_row_key old_data "
    "changed_data masked delta_depth row_before"
).split()
_TRANSACTION = "id native_transaction_id issued_at actor_id client_addr meta db_user application_name".split()
