"""Keys, columns and names as tables have them."""

from __future__ import annotations

from typing import Any

import pytest
from audit_core import AuditLog
from audit_core.installation import ddl
from audit_core.installation.catalog import read
from audit_core.quoting import qualified
from audit_core.siblings import differences, scope_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema


def audited(connection: Connection, *tables: Table, schema: str | None = None) -> AuditLog:
    log = AuditLog(tables[0].metadata, schema=schema)
    log.metadata.create_all(connection)
    log.install(connection)
    assert differences(scope_of(log), read(connection, log.schema)) == []
    return log


def activities(connection: Connection, log: AuditLog) -> list[tuple[Any, ...]]:
    activity = log.activity_cls
    columns = (activity.verb, activity.row_key, activity.old_data, activity.changed_data)
    return [tuple(row) for row in connection.execute(select(*columns).order_by(activity.id))]


def versioned(*columns: Column[Any], name: str = "things", schema: str | None = None, **options: Any) -> Table:
    return Table(name, MetaData(), *columns, schema=schema, info={"versioned": options})


def test_a_composite_key_is_a_json_array(connection: Connection) -> None:
    table = versioned(
        Column("value", String),
        Column("right", String, primary_key=True),
        Column("left", Integer, primary_key=True),
    )
    log = audited(connection, table)
    connection.execute(insert(table).values(left=1, right='a"b'))
    assert activities(connection, log)[0][1] == '["a\\"b", 1]'


def test_a_table_without_a_key_has_no_row_key(connection: Connection) -> None:
    table = versioned(Column("value", Integer))
    log = audited(connection, table)
    connection.execute(insert(table).values(value=1))
    connection.execute(update(table).values(value=2))
    connection.execute(delete(table))
    assert activities(connection, log) == [
        ("insert", None, {}, {"value": 1}),
        ("update", None, {"value": 1}, {"value": 2}),
        ("delete", None, {"value": 2}, {}),
    ]


def test_a_key_that_changes_is_filed_under_the_new_one(connection: Connection) -> None:
    table = versioned(Column("id", Integer, primary_key=True))
    log = audited(connection, table)
    connection.execute(insert(table), [{"id": 1}, {"id": 2}])
    connection.execute(update(table).values(id=table.c.id + 10))
    assert activities(connection, log)[2:] == [
        ("update", "11", {"id": 1}, {"id": 11}),
        ("update", "12", {"id": 2}, {"id": 12}),
    ]


def test_a_key_that_changes_is_kept_beside_the_new_one(connection: Connection) -> None:
    single = versioned(Column("id", Integer, primary_key=True), Column("name", String))
    pair = Table(
        "pairs",
        single.metadata,
        Column("a", Integer, primary_key=True),
        Column("b", String, primary_key=True),
        info={"versioned": {}},
    )
    log = audited(connection, single, pair)
    connection.execute(insert(single), [{"id": 1, "name": "x"}, {"id": 2, "name": "y"}, {"id": 3, "name": "z"}])
    connection.execute(insert(pair).values(a=1, b="x"))
    connection.execute(update(single).values(id=11).where(single.c.id == 1))
    connection.execute(update(single).values(id=single.c.id + 20).where(single.c.id < 4))
    connection.execute(update(single).values(name="w"))
    connection.execute(update(pair).values(b="y"))
    connection.execute(delete(pair))
    activity = log.activity_cls
    query = select(activity.verb, activity.old_row_key, activity.row_key).where(activity.verb != "insert")
    assert [tuple(row) for row in connection.execute(query.order_by(activity.id))] == [
        ("update", "1", "11"),
        ("update", "2", "22"),
        ("update", "3", "23"),
        ("update", None, "11"),
        ("update", None, "22"),
        ("update", None, "23"),
        ("update", '[1, "x"]', '[1, "y"]'),
        ("delete", None, '[1, "y"]'),
    ]


def test_columns_that_come_go_and_change_names_are_followed(connection: Connection) -> None:
    table = versioned(Column("id", Integer, primary_key=True), Column("a", String), Column("b", String))
    log = audited(connection, table)
    for sql in (
        "INSERT INTO things VALUES (1, 'a', 'b')",
        "ALTER TABLE things ADD COLUMN c text",
        "ALTER TABLE things DROP COLUMN a",
        "ALTER TABLE things RENAME COLUMN id TO key",
        "UPDATE things SET c = 'c'",
    ):
        connection.exec_driver_sql(sql)
    assert activities(connection, log)[-1] == ("update", "1", {"key": 1, "b": "b", "c": None}, {"c": "c"})


def test_excluded_columns_stand_nowhere(connection: Connection) -> None:
    names = ["hair color", "a,b", "{c}", "d'e\"f", "g\\h", "grün", "100%", ":i"]
    table = versioned(
        Column("id", Integer, primary_key=True),
        Column("seen", String),
        *(Column(name, String, key=f"key{n}") for n, name in enumerate(names)),
        exclude=names,
    )
    log = audited(connection, table)
    connection.execute(insert(table).values(id=1, seen="x", key0="hidden", key5="hidden"))
    connection.execute(update(table).values(key0="changed"))
    connection.execute(update(table).values(key0="again", seen="y"))
    connection.execute(delete(table))
    assert activities(connection, log) == [
        ("insert", "1", {}, {"id": 1, "seen": "x"}),
        ("update", "1", {"id": 1, "seen": "x"}, {"seen": "y"}),
        ("delete", "1", {"id": 1, "seen": "y"}, {}),
    ]


def test_columns_called_like_what_the_trigger_uses(connection: Connection) -> None:
    names = [
        "new_table", "old_table", "new_row", "old_row", "before", "after", "entry", "place", "n", "o", "k",
        "excluded", "may_exceed_jsonb", "recorded_at", "xid", "key_columns", "primary_key", "tg_op",
    ]  # fmt: skip
    table = versioned(Column("id", Integer, primary_key=True), *(Column(name, Integer) for name in names))
    log = audited(connection, table)
    row = dict.fromkeys(names, 1)
    connection.execute(insert(table).values(id=1, **row))
    connection.execute(update(table).values(n=2, place=3))
    connection.execute(delete(table))
    assert activities(connection, log) == [
        ("insert", "1", {}, {"id": 1, **row}),
        ("update", "1", {"id": 1, **row}, {"n": 2, "place": 3}),
        ("delete", "1", {"id": 1, **row, "n": 2, "place": 3}, {}),
    ]


def test_an_update_of_many_rows_after_one_of_one_row(connection: Connection) -> None:
    """The plan that was made for one row is kept for the session; a nested loop would take minutes here."""
    table = versioned(Column("id", Integer, primary_key=True), Column("value", Integer))
    log = audited(connection, table)
    for _ in range(10):
        connection.execute(insert(table).values(value=0))
        connection.execute(update(table).where(table.c.id == 1).values(value=table.c.value + 1))
    connection.execute(text("SET LOCAL statement_timeout = '60s'"))
    connection.execute(text("INSERT INTO things (value) SELECT 0 FROM generate_series(1, 50000)"))
    connection.execute(update(table).values(value=-1))
    pairs = connection.execute(
        text(
            "SELECT count(*), count(*) FILTER (WHERE row_key = old_data ->> 'id') FROM activity "
            "WHERE verb = 'update' AND changed_data = '{\"value\": -1}'"
        )
    ).one()
    assert tuple(pairs) == (50010, 50010)
    assert len(activities(connection, log)) == 20 + 50000 + 50010


def test_the_trail_keeps_apart_tables_of_one_name(connection: Connection) -> None:
    metadata = MetaData()
    tables = []
    for schema in (None, "other"):
        tables.append(
            Table(
                "things",
                metadata,
                Column("id", Integer, primary_key=True),
                schema=schema,
                info={"versioned": {}},
            )
        )
    connection.execute(CreateSchema("other"))
    log = audited(connection, *tables)
    for table in tables:
        connection.execute(insert(table))
    query = select(log.activity_cls.schema, log.activity_cls.table_name).order_by(log.activity_cls.id)
    assert [tuple(row) for row in connection.execute(query)] == [("public", "things"), ("other", "things")]


def test_recording_does_not_depend_on_the_search_path(connection: Connection) -> None:
    table = versioned(Column("id", Integer, primary_key=True))
    log = audited(connection, table)
    connection.exec_driver_sql("CREATE TEMPORARY TABLE activity (id int)")
    connection.exec_driver_sql("CREATE TEMPORARY TABLE transaction (id int)")
    connection.exec_driver_sql("SET LOCAL search_path = pg_temp")
    connection.exec_driver_sql("INSERT INTO public.things DEFAULT VALUES")
    assert [row[0] for row in activities(connection, log)] == ["insert"]


names = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
    .filter(lambda name: len(name.encode()) <= 63)
    .filter(lambda name: name not in ("information_schema",) and not name.startswith("pg_"))
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_name_is_recorded_as_it_is(module_database: Any, data: st.DataObject) -> None:
    schema, table_name = data.draw(names), data.draw(names)
    key, excluded, seen = data.draw(st.lists(names, min_size=3, max_size=3, unique=True))
    audit_schema = data.draw(names.filter(lambda name: name != schema and "$audit_logger$" not in name))
    table = versioned(
        Column(key, Integer, key="key", primary_key=True, autoincrement=False),
        Column(excluded, Integer, key="excluded"),
        Column(seen, Integer, key="seen"),
        name=table_name,
        schema=schema,
        exclude=[excluded],
    )
    engine = create_engine(module_database, poolclass=NullPool)
    with engine.connect() as connection:
        if schema != "public":
            connection.execute(CreateSchema(schema))
        log = audited(connection, table, schema=audit_schema)
        connection.execute(insert(table).values(key=1, excluded=2, seen=3))
        connection.execute(update(table).values(seen=4))
        ddl.execute(connection, [f"TRUNCATE {qualified(table_name, schema)}"])
        activity = log.activity_cls
        rows = connection.execute(
            select(activity.schema, activity.table_name, activity.old_data, activity.changed_data).order_by(activity.id)
        ).all()
        connection.rollback()
    assert [tuple(row) for row in rows] == [
        (schema, table_name, {}, {key: 1, seen: 3}),
        (schema, table_name, {key: 1, seen: 3}, {seen: 4}),
        (schema, table_name, {}, {"rows": 1}),
    ]


@pytest.mark.parametrize("schema", ["SECURITY DEFINER", "SET search_path = elsewhere"])
def test_a_schema_called_like_a_piece_of_a_function_is_no_drift(connection: Connection, schema: str) -> None:
    audited(connection, versioned(Column("id", Integer, primary_key=True)), schema=schema)
