"""Of an update only the columns that change are recorded, and the trail says the same as if all were."""

from __future__ import annotations

import datetime as dt
import functools
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from audit_core import AuditLog, HistoryError, HistoryWarning, MaintenanceError, audit_context, notes
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    create_engine,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, undefer
from sqlalchemy.pool import NullPool

from tests.core_only.test_reading_property import Past

#: After so many deltas a row is recorded whole again.
MOST = 50


class Base(DeclarativeBase):
    pass


class Wide:
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str | None]
    size: Mapped[Decimal | None] = mapped_column(Numeric)
    more: Mapped[Any | None] = mapped_column(JSONB)
    secret: Mapped[str | None]


class Whole(Wide, Base):
    __tablename__ = "whole"
    __table_args__: Any = ({"info": {"versioned": {"mask": ["secret"]}}},)


class Thrifty(Wide, Base):
    __tablename__ = "thrifty"
    __table_args__: Any = ({"info": {"versioned": {"mask": ["secret"], "store": "changes"}}},)


MODELS: tuple[Any, Any] = (Whole, Thrifty)
audit_log = AuditLog(Base)
Activity = audit_log.activity_cls


@pytest.fixture
def trail(database: URL) -> Iterator[Engine]:
    yield from _installed(database)


@pytest.fixture(scope="module")
def property_trail(module_database: URL) -> Iterator[Engine]:
    yield from _installed(module_database)


def _installed(database: URL) -> Iterator[Engine]:
    engine = create_engine(database, poolclass=NullPool)
    audit_log.attach(engine)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)
    yield engine
    audit_log.detach(engine)
    engine.dispose()


def people(connection: Connection, *more: Column[Any], **options: Any) -> AuditLog:
    log = AuditLog(MetaData())
    columns = (Column("id", Integer, primary_key=True), Column("name", String), Column("age", Integer))
    Table("people", log.metadata, *columns, *more, info={"versioned": {"store": "changes", **options}})
    log.metadata.create_all(connection)
    log.install(connection)
    return log


def run(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def recorded(connection: Connection, log: AuditLog, table: str = "people") -> list[tuple[Any, ...]]:
    """What stands in the trail: how deep, the old values and the new ones."""
    activity = log.activity_cls
    query = select(activity.delta_depth, activity.old_data, activity.changed_data)
    return [tuple(row) for row in connection.execute(query.where(activity.table_name == table).order_by(activity.id))]


def depths(connection: Connection, log: AuditLog, table: str = "people") -> list[int | None]:
    return [depth for depth, *_ in recorded(connection, log, table)]


def befores(connection: Connection, log: AuditLog, table: str = "people") -> list[Any]:
    """The rows before each change, as they are put together."""
    activity = log.activity_cls
    query = select(activity.completed_old_data).where(activity.table_name == table).order_by(activity.id)
    return list(connection.scalars(query))


def test_an_update_leaves_the_old_values_of_what_it_changes(connection: Connection) -> None:
    log = people(connection)
    run(
        connection,
        "INSERT INTO people VALUES (1, 'Ann', 40)",
        "UPDATE people SET age = 41",
        "UPDATE people SET name = 'Anna', age = 42",
        "UPDATE people SET name = 'Anna'",
        "DELETE FROM people",
    )
    assert recorded(connection, log) == [
        (None, {}, {"id": 1, "name": "Ann", "age": 40}),
        (1, {"age": 40}, {"age": 41}),
        (2, {"name": "Ann", "age": 41}, {"name": "Anna", "age": 42}),
        (None, {"id": 1, "name": "Anna", "age": 42}, {}),
    ]
    assert befores(connection, log) == [
        {},
        {"id": 1, "name": "Ann", "age": 40},
        {"id": 1, "name": "Ann", "age": 41},
        {"id": 1, "name": "Anna", "age": 42},
    ]


@pytest.mark.parametrize("number", [1, 2, 150])
def test_statements_of_any_size(connection: Connection, number: int) -> None:
    log = people(connection)
    run(
        connection,
        f"INSERT INTO people SELECT i, 'Ann', i FROM generate_series(1, {number}) AS i",
        "UPDATE people SET age = age + 1",
        "UPDATE people SET age = age + 1 WHERE id = 1",
        "UPDATE people SET name = 'Ben'",
    )
    activity = log.activity_cls
    of_row = select(activity.delta_depth, activity.old_data, activity.changed_data, activity.completed_old_data)
    found = {
        key: list(connection.execute(of_row.where(activity.row_key == str(key)).order_by(activity.id)))
        for key in (1, number)
    }
    assert [tuple(each) for each in found[1][1:]] == [
        (1, {"age": 1}, {"age": 2}, {"id": 1, "name": "Ann", "age": 1}),
        (2, {"age": 2}, {"age": 3}, {"id": 1, "name": "Ann", "age": 2}),
        (3, {"name": "Ann"}, {"name": "Ben"}, {"id": 1, "name": "Ann", "age": 3}),
    ]
    assert tuple(found[number][-1])[:3] == (3 if number == 1 else 2, {"name": "Ann"}, {"name": "Ben"})


def test_each_partition_can_be_read_alone(trail: Engine) -> None:
    with trail.begin() as connection:
        run(connection, "INSERT INTO thrifty VALUES (1, 'a')", "UPDATE thrifty SET name = 'b'")
    audit_log.split(trail, at_once=True)
    with trail.begin() as connection:
        run(connection, "UPDATE thrifty SET name = 'c'", "UPDATE thrifty SET name = 'd'")
        assert depths(connection, audit_log, "thrifty") == [None, 1, None, 1]
        before = befores(connection, audit_log, "thrifty")[2:]
        run(connection, "ALTER TABLE activity DETACH PARTITION activity_p0001")
        assert befores(connection, audit_log, "thrifty") == before


def test_so_many_deltas_follow_each_other(connection: Connection) -> None:
    log = people(connection)
    run(connection, "INSERT INTO people VALUES (1, 'Ann', 0)", *["UPDATE people SET age = age + 1"] * (MOST + 3))
    assert depths(connection, log) == [None, *range(1, MOST + 1), None, 1, 2]
    assert befores(connection, log)[-1] == {"id": 1, "name": "Ann", "age": MOST + 2}


def test_a_row_with_another_key_is_recorded_whole(connection: Connection) -> None:
    log = people(connection)
    run(
        connection,
        "INSERT INTO people VALUES (1, 'Ann', 0), (2, 'Ben', 0)",
        "UPDATE people SET id = 10 - id",
        "UPDATE people SET age = 1",
        "UPDATE people SET id = 1 WHERE id = 9",
    )
    assert depths(connection, log) == [None, None, None, None, 1, 1, None]


@pytest.mark.parametrize(
    "unseen",
    [
        "SET LOCAL audit_logger.enabled = off; UPDATE people SET name = 'Eve'; SET LOCAL audit_logger.enabled = on",
        "ALTER TABLE people DISABLE TRIGGER ALL; UPDATE people SET name = 'Eve'; ALTER TABLE people ENABLE TRIGGER ALL",
        "SET LOCAL session_replication_role = replica; UPDATE people SET name = 'Eve'; "
        "SET LOCAL session_replication_role = origin",
        "ALTER TABLE people ADD COLUMN added text DEFAULT 'x'",
        "ALTER TABLE people DROP COLUMN name",
        "ALTER TABLE people RENAME COLUMN name TO called",
        "ALTER TABLE people ALTER COLUMN age TYPE text",
        "ALTER TABLE people ALTER COLUMN age TYPE integer USING age + 1",
        "SET LOCAL audit_logger.maintenance = on; UPDATE activity SET changed_data = changed_data || '{\"age\": 5}'; "
        "SET LOCAL audit_logger.maintenance = off",
        "SET LOCAL audit_logger.maintenance = on; DELETE FROM activity; SET LOCAL audit_logger.maintenance = off",
    ],
)
def test_what_the_trail_does_not_know_is_recorded_whole(connection: Connection, unseen: str) -> None:
    """Who bypassed the trail cannot hide behind the columns that the next update leaves out."""
    log = people(connection, Column("n", Integer))
    run(connection, "INSERT INTO people VALUES (1, 'Ann', 40, 0)", "UPDATE people SET n = 1", unseen)
    now = connection.scalar(text("SELECT to_jsonb(p) FROM people AS p"))
    run(connection, "UPDATE people SET n = 2")
    assert recorded(connection, log)[-1] == (None, now, {"n": 2})
    assert befores(connection, log)[-1] == now


def test_a_change_without_effect_on_the_json_is_one_as_everywhere(connection: Connection) -> None:
    log = people(connection, Column("size", Numeric))
    run(
        connection,
        "INSERT INTO people VALUES (1, 'Ann', 40, 1.0)",
        "UPDATE people SET size = 1.00",
        "UPDATE people SET age = 41",
        "UPDATE people SET size = 1.000 WHERE id > 0",
    )
    sizes = text("SELECT delta_depth, old_data ->> 'size' FROM activity ORDER BY id")
    assert [tuple(row) for row in connection.execute(sizes)] == [(None, None), (1, "1.0"), (2, None), (3, "1.00")]
    whole = select(func.jsonb_extract_path_text(log.activity_cls.completed_old_data, "size"))
    assert list(connection.scalars(whole.order_by(log.activity_cls.id))) == [None, "1.0", "1.00", "1.00"]


def test_masked_and_excluded_columns(connection: Connection) -> None:
    log = people(connection, Column("ssn", String), mask=["ssn"], exclude=["age"])
    run(
        connection,
        "INSERT INTO people VALUES (1, 'Ann', 40, '123')",
        "UPDATE people SET ssn = '456', age = 41",
        "UPDATE people SET name = 'Anna'",
    )
    assert recorded(connection, log)[1:] == [
        (1, {"ssn": "***"}, {"ssn": "***"}),
        (2, {"name": "Ann"}, {"name": "Anna"}),
    ]
    assert befores(connection, log)[-1] == {"id": 1, "name": "Ann", "ssn": "***"}


def test_partitioned_tables(connection: Connection) -> None:
    log = AuditLog(MetaData())
    Table(
        "people",
        log.metadata,
        *(Column(name, Integer, primary_key=name == "id") for name in ("id", "age", "n")),
        postgresql_partition_by="RANGE (id)",
        info={"versioned": {"store": "changes"}},
    )
    log.metadata.create_all(connection)
    run(connection, *(f"CREATE TABLE p{n} PARTITION OF people FOR VALUES FROM ({n}0) TO ({n + 1}0)" for n in range(2)))
    log.install(connection)
    run(
        connection,
        "INSERT INTO people VALUES (1, 0, 0), (2, 0, 0)",
        "UPDATE people SET age = 1",
        "UPDATE p0 SET n = 1 WHERE id = 1",
        "UPDATE people SET id = 11 WHERE id = 1",
        "UPDATE people SET n = 2 WHERE id = 11",
    )
    assert depths(connection, log) == [None, None, 1, 1, 2, None, 1]
    assert befores(connection, log)[-2:] == [{"id": 1, "age": 1, "n": 1}, {"id": 11, "age": 1, "n": 1}]


@pytest.mark.parametrize("isolation_level", ["READ COMMITTED", "SERIALIZABLE"])
def test_serializable_transactions_do_not_read_the_trail(trail: Engine, isolation_level: str) -> None:
    """They would conflict with all who write next to them; so they record whole rows."""
    with trail.begin() as connection:
        run(connection, "INSERT INTO thrifty VALUES (1, 'a'), (2, 'b')")
    one, other = (
        create_engine(trail.url, poolclass=NullPool, isolation_level=isolation_level).connect() for _ in range(2)
    )
    with one, other:
        for connection, id_ in ((one, 1), (other, 2)):
            run(connection, f"UPDATE thrifty SET size = 1 WHERE id = {id_}")
        one.commit()
        other.commit()
    with trail.connect() as connection:
        whole = isolation_level == "SERIALIZABLE"
        assert depths(connection, audit_log, "thrifty") == [None, None, *[None if whole else 1] * 2]


def test_changes_that_are_put_in_order(connection: Connection) -> None:
    """A trigger of the first row takes its change back, and records that before it."""
    log = people(connection)
    run(
        connection,
        "INSERT INTO people VALUES (1, 'Ann', 40)",
        "UPDATE people SET name = 'Anna'",
        "CREATE FUNCTION take_back() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN "
        "UPDATE people SET age = OLD.age WHERE id = NEW.id AND age <> OLD.age; RETURN NULL; END$$",
        "CREATE TRIGGER take_back AFTER UPDATE ON people FOR EACH ROW WHEN (NEW.age > 40) EXECUTE FUNCTION take_back()",
        "UPDATE people SET age = 41",
        "UPDATE people SET name = 'Ann'",
    )
    assert [each["age"] for _, _, each in recorded(connection, log) if "age" in each] == [40, 41, 40]
    assert befores(connection, log) == [
        {},
        *({"id": 1, "name": name, "age": age} for name, age in (("Ann", 40), ("Anna", 40), ("Anna", 41), ("Anna", 40))),
    ]


def test_a_row_that_changes_twice_within_one_statement(connection: Connection) -> None:
    """Two referential actions reach one row, and one trigger records both."""
    log = AuditLog(MetaData())
    for name in ("parents", "children"):
        Table(
            name,
            log.metadata,
            *(Column(each, Integer, primary_key=each == "id") for each in ("id", "a", "b", "n")),
            info={"versioned": {"store": "changes"}},
        )
    log.metadata.create_all(connection)
    log.install(connection)
    run(
        connection,
        *(f"ALTER TABLE children ADD FOREIGN KEY ({each}) REFERENCES parents ON UPDATE CASCADE" for each in "ab"),
        "INSERT INTO parents VALUES (1)",
        "INSERT INTO children VALUES (1, 1, 1, 7), (2, 1, 1, 7)",
        "UPDATE parents SET id = 2",
        "UPDATE children SET n = 8",
    )
    rows = [(each["a"], each["b"]) for each in befores(connection, log, "children")[2:]]
    assert sorted(rows) == [(1, 1), (1, 1), (2, 1), (2, 1), (2, 2), (2, 2)]


def test_rows_that_share_a_key_for_a_while(connection: Connection) -> None:
    """A statement changes both: nothing tells on which of them a delta would rest."""
    log = people(connection)
    run(
        connection,
        "ALTER TABLE people DROP CONSTRAINT people_pkey, ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED",
        "INSERT INTO people VALUES (1, 'Ann', 40)",
        "INSERT INTO people VALUES (1, 'Ben', 40)",
        "UPDATE people SET age = 41",
        "UPDATE people SET age = 42 WHERE name = 'Ann'",
        "UPDATE people SET age = 43 WHERE name = 'Ann'",
        "UPDATE people SET age = 44 WHERE name = 'Ben'",
        "DELETE FROM people WHERE name = 'Ann'",
    )
    found = [(each["name"], each["age"]) for each in befores(connection, log)[2:]]
    assert found == [("Ann", 40), ("Ben", 40), ("Ann", 41), ("Ann", 42), ("Ben", 41), ("Ann", 43)]


def test_what_else_stands_under_the_key(connection: Connection) -> None:
    """A table of the same name in another schema, and those who only looked at the row."""
    log = people(connection)
    run(connection, "CREATE SCHEMA other")
    log.metadata.tables["people"].to_metadata(log.metadata, schema="other")
    log.metadata.create_all(connection)
    log.install(connection)
    run(
        connection,
        *(f"INSERT INTO {schema}.people VALUES (1, '{schema}', 0)" for schema in ("public", "other")),
        *(f"UPDATE {schema}.people SET age = {n}" for n in (1, 2, 3) for schema in ("public", "other")),
        "SELECT public.audit_logger_record_read('public', 'people', '1', '{}')",
        "UPDATE people SET name = 'Ann'",
    )
    activity = log.activity_cls
    assert list(connection.scalars(select(activity.schema).order_by(activity.id)))[:4] == ["public", "other"] * 2
    query = select(activity.completed_old_data).where(activity.verb == "update", activity.schema == "public")
    assert list(connection.scalars(query.order_by(activity.id))) == [
        {"id": 1, "name": "public", "age": n} for n in range(4)
    ]
    assert depths(connection, log) == [None, None, 1, 1, 2, 2, 3, 3, None, 4]


def test_activities_as_objects(trail: Engine) -> None:
    with trail.begin() as connection:
        run(connection, "INSERT INTO thrifty VALUES (1, 'a', 1.5)", "UPDATE thrifty SET name = 'b'")
    with Session(trail) as session:
        update = session.scalars(audit_log.history(Thrifty, 1)).first()
        assert update is not None
        assert update.old_data == {"name": "a"}
        assert update.row_before == {"id": 1, "name": "a", "size": 1.5, "more": None, "secret": "***"}
        assert (update.before.name, update.after.name) == ("a", "b")
        assert (update.before.size, update.after.size) == (Decimal("1.5"), Decimal("1.5"))
        assert update.changes == {"name": ("a", "b")}
        assert update.data["size"] == update.row_before["size"]
        session.expunge_all()
        loaded = session.scalars(audit_log.history(Thrifty, 1).options(undefer(Activity.completed_old_data))).first()
    assert loaded is not None
    assert loaded.before.size == Decimal("1.5")


def test_a_table_may_be_switched_back_and_forth(connection: Connection) -> None:
    log = people(connection)
    run(connection, "INSERT INTO people VALUES (1, 'Ann', 40)", "UPDATE people SET age = 41")
    for store in ("rows", "changes"):
        log.metadata.tables["people"].info["versioned"]["store"] = store
        log.install(connection)
        run(connection, "UPDATE people SET age = age + 1")
    assert depths(connection, log) == [None, 1, None, 1]
    assert befores(connection, log)[-1] == {"id": 1, "name": "Ann", "age": 42}


#: What is done to {t}, in a transaction each; {ids} stands for a list of numbers.
STATEMENTS = (
    "INSERT INTO {t} (id, name, size) SELECT i, 'new', i FROM unnest({ids}) AS i ON CONFLICT DO NOTHING",
    "INSERT INTO {t} (id, name) SELECT i, 'x' FROM unnest({ids}) AS i ON CONFLICT (id) DO UPDATE SET size = 1.50",
    "UPDATE {t} SET size = size + 1 WHERE id = ANY ({ids})",
    "UPDATE {t} SET size = coalesce(size, 0) * 1.0",
    "UPDATE {t} SET name = name || '!'",
    "UPDATE {t} SET name = NULL WHERE id = ({ids})[1]",
    "UPDATE {t} SET more = jsonb_build_object('at', id, 'n', NULL) WHERE id = ANY ({ids})",
    "UPDATE {t} SET more = NULL",
    "UPDATE {t} SET secret = id || 's'",
    "UPDATE {t} SET id = id + 3 WHERE id = (SELECT max(id) FROM {t}) AND id < 9",
    "UPDATE {t} SET id = id - 1 WHERE id = (SELECT min(id) FROM {t}) AND id > 1",
    "DELETE FROM {t} WHERE id = ANY ({ids})",
    "DELETE FROM {t} WHERE id = ({ids})[1]",
    "TRUNCATE {t}",
    "DO $$BEGIN UPDATE {t} SET size = 2; UPDATE {t} SET size = 3, name = 'y' WHERE id = ANY ({ids}); END$$",
    "UPDATE {t} SET name = 'kept'; SAVEPOINT s; UPDATE {t} SET size = 9; ROLLBACK TO SAVEPOINT s",
    "UPDATE {t} SET size = 7; UPDATE {t} SET name = 'z' WHERE id = ANY ({ids}); UPDATE {t} SET size = 8",
    "SET LOCAL session_replication_role = replica; UPDATE {t} SET name = 'unseen' WHERE id = ANY ({ids})",
    "SET LOCAL session_replication_role = replica; DELETE FROM {t} WHERE id = ({ids})[1]",
    "SET LOCAL audit_logger.enabled = off; UPDATE {t} SET size = 0",
)
#: What is done beside: the open partition is closed, the option is another one, columns come and go.
BESIDE = ("split", "rows", "changes", "ADD COLUMN IF NOT EXISTS extra text DEFAULT 'e'", "DROP COLUMN IF EXISTS extra")
steps = st.lists(
    st.tuples(st.sampled_from(STATEMENTS), st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True).map(sorted))
    | st.tuples(
        st.sampled_from(STATEMENTS[2:9]), st.lists(st.integers(1, 6), min_size=1, max_size=4, unique=True).map(sorted)
    )
    | st.sampled_from(BESIDE),
    min_size=3,
    max_size=12,
)


def do(engine: Engine, step: Any) -> None:
    """Do the same to both tables."""
    if step == "split":
        audit_log.split(engine, at_once=True)
    elif step in ("rows", "changes"):
        Thrifty.__table__.info["versioned"]["store"] = step
        with engine.begin() as connection:
            audit_log.install(connection)
    elif isinstance(step, str):
        with engine.begin() as connection:
            run(connection, *(f"ALTER TABLE {each.__tablename__} {step}" for each in MODELS))
    else:
        for model in MODELS:
            with audit_context(actor_id=model.__name__), engine.begin() as connection:
                statement, ids = step
                run(connection, statement.format(t=model.__tablename__, ids=f"ARRAY{ids}"))


def what_is_known(session: Session, model: Any, instants: list[dt.datetime]) -> dict[str, Any]:
    """All that the trail says of a table, without what tells it from the other one."""
    name = model.__tablename__
    activity, transaction = Activity, audit_log.transaction_cls
    # The rows of one statement are in no order.
    order = (activity.native_transaction_id, activity.row_key, activity.id)
    activities = session.scalars(select(activity).where(activity.table_name == name).order_by(*order)).all()
    places = {each.id: place for place, each in enumerate(activities)}
    known: dict[str, Any] = {
        "activities": [
            (each.verb, each.row_key, each.old_row_key, each.row_before, each.changed_data, each.data, each.masked)
            for each in activities
        ],
        "changes": [each.changes for each in activities],
        "objects": [[told(each.before), told(each.after)] for each in activities if each.row_key],
    }
    past = past_of(model)
    for place, when in enumerate(instants):
        rows = session.execute(past.query, past.at(when)).mappings()
        known[f"as of {place}"] = sorted(
            repr({**row, "audit_activity_id": places.get(row["audit_activity_id"])}) for row in rows
        )
    for place in (0, -1):
        for key in (1, 3):
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", HistoryWarning)
                try:
                    row = told(audit_log.get_as_of(session, model, key, instants[place]))
                except HistoryError as error:
                    row = type(error)
            known[f"{key} as of {place}"] = row, [str(each.message).replace(name, "it") for each in said]
    for key in (1, 3, 6):
        found = session.scalars(audit_log.history(model, key)).all()
        known[f"history of {key}"] = [places[each.id] for each in found]
    session.rollback()
    with session.get_bind().connect() as connection:  # type: ignore[union-attr]
        known["findings"] = [
            (each.kind, each.row_key, each.columns, places.get(each.before), places.get(each.after))
            for each in audit_log.verify(connection, [model])
        ]
    mine = select(transaction.id).where(transaction.actor_id == model.__name__).order_by(transaction.id)
    for place, id_ in enumerate(session.scalars(mine).all()[-3:]):
        plan = audit_log.plan_undo(session, id_)
        known[f"undo of {place}"] = (
            [(places[step.activity_id], step.action, step.row_key, step.columns) for step in plan.steps],
            [(places.get(each.activity_id), each.kind) for each in plan.conflicts],
        )
        session.rollback()
    return known


@functools.cache
def past_of(model: Any) -> Past:
    return Past(model, audit_log)


def told(row: Any) -> Any:
    if row is None:
        return None
    return [(each.key, getattr(row, each.key, "?")) for each in row.__table__.columns], notes(row)


@settings(max_examples=10, deadline=None)
@given(steps=steps)
@example(steps=[(STATEMENTS[1], [1, 2, 3, 5]), (STATEMENTS[3], [1])])
@example(steps=[(STATEMENTS[12], [1]), (STATEMENTS[19], [1])])
def test_both_say_the_same(property_trail: Engine, steps: list[Any]) -> None:
    """Whatever is done to two equal tables, one of which stores whole rows and one changes."""
    with property_trail.begin() as connection:
        for model in MODELS:
            run(connection, f"ALTER TABLE {model.__tablename__} DROP COLUMN IF EXISTS extra")
            run(connection, f"TRUNCATE {model.__tablename__}")
        run(connection, "SET LOCAL audit_logger.maintenance = on", "DELETE FROM activity", "DELETE FROM transaction")
        run(connection, *(f"DROP TABLE {each.name}" for each in audit_log.partitions(connection) if not each.is_open))
        run(connection, "DELETE FROM activity_partition")
    do(property_trail, "changes")
    do(property_trail, (STATEMENTS[0], [1, 2, 3, 4]))
    instants = []
    for step in steps:
        do(property_trail, step)
        with property_trail.connect() as connection:
            instants.append(connection.scalar(select(func.clock_timestamp())))
    with Session(property_trail) as session:
        whole, thrifty = (what_is_known(session, model, instants) for model in MODELS)
    assert thrifty == whole


class Keeping:
    """A table that stores changes and keeps them for 30 days, in a trail that can be made older."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.log = AuditLog(MetaData())
        columns = (Column("id", Integer, primary_key=True), Column("a", Integer), Column("b", Integer))
        Table("items", self.log.metadata, *columns, info={"versioned": {"store": "changes", "keep": "30d"}})
        with engine.begin() as connection:
            self.log.metadata.create_all(connection)
            self.log.install(connection)

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            run(connection, *statements)

    def older(self, days: int) -> None:
        moved = "UPDATE {} SET issued_at = issued_at - interval '{} days'"
        tables = ("activity", "transaction", "activity_coverage")
        self.run("SET LOCAL audit_logger.maintenance = on", *(moved.format(each, days) for each in tables))

    def read(self) -> list[tuple[Any, ...]]:
        activity = self.log.activity_cls
        query = select(activity.delta_depth, activity.completed_old_data, activity.changed_data)
        with self.engine.connect() as connection:
            found = connection.execute(query.where(activity.table_name == "items").order_by(activity.id))
            return [tuple(row) for row in found]


@pytest.fixture
def keeping(database: URL) -> Iterator[Keeping]:
    engine = create_engine(database, poolclass=NullPool)
    yield Keeping(engine)
    engine.dispose()


def test_what_retention_leaves_of_a_table_can_be_read(keeping: Keeping) -> None:
    """The first one that stays becomes a whole row, and those after it rest on it."""
    keeping.run("INSERT INTO items VALUES (1, 0, 0), (2, 0, 0)", "UPDATE items SET a = 1")
    keeping.older(20)
    keeping.run("UPDATE items SET b = 1 WHERE id = 1", "UPDATE items SET b = 2 WHERE id = 1")
    keeping.older(20)
    keeping.run("UPDATE items SET a = 2 WHERE id = 1", "UPDATE items SET b = 3 WHERE id = 2")
    before = keeping.read()
    (removal,) = keeping.log.retain(keeping.engine)
    assert removal.rows == 4
    left = keeping.read()
    assert [row[1:] for row in left] == [row[1:] for row in before[4:]]
    assert [depth for depth, *_ in left] == [None, 3, 4, None]
    keeping.run("UPDATE items SET a = 7")
    assert keeping.read()[-2:] == [
        (depth, {"id": id_, "a": a, "b": b}, {"a": 7}) for depth, id_, a, b in ((3, 1, 2, 2), (1, 2, 1, 3))
    ]
    with keeping.engine.connect() as connection:
        assert [each.kind for each in keeping.log.verify(connection)] == ["no beginning"]


@pytest.mark.parametrize("goes", ["table", "partition"])
def test_what_is_held_is_whole(keeping: Keeping, goes: str) -> None:
    """What the deltas that are held rest on, goes with the rest of the table, or of the partition."""
    keeping.run("INSERT INTO items VALUES (1, 0, 0)", "UPDATE items SET a = 1", "UPDATE items SET b = 1")
    before = keeping.read()
    keeping.older(40)
    if goes == "partition":
        keeping.log.metadata.tables["items"].info["versioned"].pop("keep")
        keeping.log.split(keeping.engine, at_once=True)
        keeping.run(
            "SET LOCAL audit_logger.maintenance = on",
            "UPDATE activity_partition SET last_issued_at = last_issued_at - interval '40 days'",
        )
    with keeping.engine.begin() as connection:
        since = connection.scalar(text("SELECT max(issued_at) FROM activity WHERE table_name = 'items'"))
        keeping.log.hold(connection, "case 17", table="items", since=since)
    (removal,) = keeping.log.retain(keeping.engine, "30d" if goes == "partition" else None)
    assert removal.rows == 2
    assert before[2][0] == 2
    assert keeping.read() == [(None, *before[2][1:])]


def test_retention_waits_for_deltas_that_it_cannot_see(keeping: Keeping) -> None:
    keeping.run("INSERT INTO items VALUES (1, 0, 0)", "UPDATE items SET a = 1")
    keeping.older(40)
    with keeping.engine.connect() as connection, ThreadPoolExecutor() as pool:
        run(connection, "UPDATE items SET b = 1")
        with pytest.raises(MaintenanceError, match=r"public\.items was in progress for 0\.1 seconds"):
            keeping.log.retain(keeping.engine, patience=dt.timedelta(seconds=0.1))
        retention = pool.submit(keeping.log.retain, keeping.engine)
        while not connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")):
            assert not retention.done()
        with keeping.engine.begin() as other:
            run(other, "INSERT INTO items VALUES (2, 0, 0)", "UPDATE items SET a = 1 WHERE id = 2")
        connection.commit()
        assert [each.rows for each in retention.result()] == [2]
    assert keeping.read() == [
        (None, {"id": 1, "a": 1, "b": 0}, {"b": 1}),
        (None, {}, {"id": 2, "a": 0, "b": 0}),
        (None, {"id": 2, "a": 0, "b": 0}, {"a": 1}),
    ]
