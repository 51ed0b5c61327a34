"""Tables with keys of each kind, whose rows say which statement wrote them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from audit_core import AuditLog
from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Double,
    ForeignKey,
    Interval,
    PrimaryKeyConstraint,
    Sequence,
    create_engine,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Stamped:
    #: Names the statement that wrote the row; no two statements have the same.
    marker: Mapped[str]
    #: Never changes, and no two rows have the same, so that a row is known when its key changes.
    born: Mapped[int] = mapped_column(default=0)


class Account(Stamped, Base):
    __tablename__ = "accounts"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int] = mapped_column(default=0)


class Entry(Stamped, Base):
    __tablename__ = "entries"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    account_id: Mapped[int] = mapped_column(
        ForeignKey(Account.id, ondelete="CASCADE", onupdate="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[Decimal | None]


class Note(Stamped, Base):
    __tablename__ = "notes"
    __table_args__: Any = ({"info": {"versioned": {"truncate": "rows"}}},)

    name: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[Any | None] = mapped_column(JSONB)


class Slot(Stamped, Base):
    """Its keys may change places in one statement."""

    __tablename__ = "slots"

    position: Mapped[int] = mapped_column(autoincrement=False)

    __table_args__: Any = (
        PrimaryKeyConstraint("position", deferrable=True, initially="IMMEDIATE"),
        {"info": {"versioned": {}}},
    )


class Event(Stamped, Base):
    """In a partition for each year; a year that changes moves it."""

    __tablename__ = "events"
    __table_args__: Any = ({"postgresql_partition_by": "LIST (year)", "info": {"versioned": {"truncate": "rows"}}},)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    year: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class Hidden(Stamped, Base):
    """Only written while recording is disabled."""

    __tablename__ = "hidden"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)


class Moment(Stamped, Base):
    """Values, and a key, whose text depends on the settings of the session."""

    __tablename__ = "moments"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    day: Mapped[dt.date]
    span: Mapped[dt.timedelta] = mapped_column(Interval)
    ratio: Mapped[float] = mapped_column(Double)
    raw: Mapped[bytes]


class Tangled(Stamped):
    """Written by several at once: referential actions, triggers of the application, functions."""

    marker: Mapped[str] = mapped_column(server_default="")
    born: Mapped[int] = mapped_column(Sequence("borns", start=10**6, metadata=Base.metadata))
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    v: Mapped[int] = mapped_column(server_default="0")


class Person(Tangled, Base):
    __tablename__ = "people"
    __table_args__: Any = ({"info": {"versioned": {}}},)


class Link(Tangled, Base):
    __tablename__ = "links"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    a: Mapped[int | None] = mapped_column(ForeignKey(Person.id, ondelete="CASCADE", onupdate="CASCADE"))
    b: Mapped[int | None] = mapped_column(ForeignKey(Person.id, ondelete="SET NULL", onupdate="CASCADE"))
    c: Mapped[int | None] = mapped_column(
        ForeignKey(Person.id, ondelete="SET DEFAULT", onupdate="CASCADE"), server_default="1"
    )


class Pair(Stamped, Base):
    """Its key can change twice in one statement."""

    __tablename__ = "pairs"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    a: Mapped[int] = mapped_column(ForeignKey(Person.id, ondelete="CASCADE", onupdate="CASCADE"), primary_key=True)
    b: Mapped[int] = mapped_column(ForeignKey(Person.id, ondelete="CASCADE", onupdate="CASCADE"), primary_key=True)


class Node(Tangled, Base):
    __tablename__ = "nodes"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    parent: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="CASCADE", onupdate="CASCADE"))
    friend: Mapped[int | None] = mapped_column(ForeignKey("nodes.id", ondelete="SET NULL", onupdate="CASCADE"))


class Busy(Tangled, Base):
    __tablename__ = "busy"
    __table_args__: Any = ({"info": {"versioned": {}}},)


class Parted(Tangled, Base):
    __tablename__ = "parted"
    __table_args__: Any = ({"postgresql_partition_by": "RANGE (id)", "info": {"versioned": {}}},)


audit_log = AuditLog(Base)
Activity = audit_log.activity_cls
Transaction = audit_log.transaction_cls

YEARS = (1, 2, 3)

#: What triggers of the application do is in settings, for each place: statements for the row $1 of the table {t}.
PLACES = {
    "before": "BEFORE INSERT OR UPDATE OR DELETE ON {t} FOR EACH ROW",
    # Names that sort before those of all others, and after them.
    "!row": "AFTER INSERT OR UPDATE OR DELETE ON {t} FOR EACH ROW",
    "zrow": "AFTER INSERT OR UPDATE OR DELETE ON {t} FOR EACH ROW",
    "!statement": "AFTER INSERT OR UPDATE OR DELETE ON {t} FOR EACH STATEMENT",
    "zstatement": "AFTER INSERT OR UPDATE OR DELETE ON {t} FOR EACH STATEMENT",
}
TANGLED = ("people", "links", "nodes", "busy", "parted")
#: The function of the triggers, and one to be called for a row in the middle of a statement.
FUNCTIONS = (
    """
    CREATE FUNCTION tangle() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        work text := current_setting('stress.' || TG_ARGV[0], true);
        row_id integer := 3;
    BEGIN
        IF work <> '' AND starts_with(TG_TABLE_NAME, current_setting('stress.table', true)) AND pg_trigger_depth() < 3
        THEN
            IF TG_LEVEL = 'ROW' AND TG_OP = 'DELETE' THEN
                row_id := OLD.id;
            ELSIF TG_LEVEL = 'ROW' THEN
                row_id := NEW.id;
            END IF;
            EXECUTE 'DO ' || quote_literal(replace(work, '$1', row_id::text));
        END IF;
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END
    $$
    """,
    """
    CREATE FUNCTION stir(row_id integer) RETURNS integer LANGUAGE plpgsql AS $$
    BEGIN
        EXECUTE 'DO ' || quote_literal(replace(current_setting('stress.inside'), '$1', row_id::text));
        RETURN row_id;
    END
    $$
    """,
)


def create_triggers(connection: Connection) -> None:
    for function in FUNCTIONS:
        connection.exec_driver_sql(function)
    for table in TANGLED:
        for place, when in PLACES.items():
            connection.exec_driver_sql(
                f"CREATE TRIGGER \"{place}\" {when.format(t=table)} EXECUTE FUNCTION tangle('{place.strip('!')}')"
            )


def install(url: URL) -> None:
    """Create the tables and the trail."""
    engine = create_engine(url)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        for year in YEARS:
            connection.execute(text(f"CREATE TABLE events_{year} PARTITION OF events FOR VALUES IN ({year})"))
        connection.execute(text("CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (5)"))
        connection.execute(text("CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (5) TO (MAXVALUE)"))
        create_triggers(connection)
        audit_log.install(connection)
    engine.dispose()


#: The tables whose every change is in the trail.
RECORDED = [model.__table__ for model in (Account, Entry, Note, Slot, Event, Moment)]
#: Those whose rows may change several times in one statement.
SEVERAL_TIMES = [model.__table__ for model in (Person, Link, Pair, Node, Busy, Parted)]
