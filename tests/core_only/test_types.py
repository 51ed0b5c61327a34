"""What goes into a column can be compared with what the trail says, for every type that a column can have."""

from __future__ import annotations

import pytest
from audit_core import AuditLog
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import HSTORE
from sqlalchemy.exc import NotSupportedError

pytestmark = pytest.mark.each_server

# Type, and two SQL literals of it.
BUILT_IN = [
    ("bigint", "9223372036854775807", "-9223372036854775808"),
    ("bit(3)", "'101'", "'010'"),
    ("bit varying(5)", "'10101'", "''"),
    ("boolean", "true", "false"),
    ("box", "'(1,1),(0,0)'", "'(2,2),(0,0)'"),
    ("bytea", r"'\x00ff'", r"'\x'"),
    ("char(5)", "'ab'", "'abc'"),
    ('"char"', "'a'", "'b'"),
    ("cidr", "'10.0.0.0/8'", "'::/0'"),
    ("circle", "'<(1,1),2>'", "'<(0,0),1>'"),
    ("date", "'infinity'", "'0044-03-15 BC'"),
    ("double precision", "'NaN'", "'-Infinity'"),
    ("double precision", "0.1", "1e308"),
    ("inet", "'10.0.0.1/24'", "'::1'"),
    ("integer", "-1", "2147483647"),
    ("interval", "'1 mon -1 day 00:00:01.5'", "'-1 year'"),
    ("json", """'{"b": 1, "a": [1, null]}'""", "'null'"),
    ("jsonb", """'{"b": 1, "a": [1, null]}'""", "'null'"),
    ("jsonpath", "'$.a[*]'", "'$.b'"),
    ("line", "'{1,2,3}'", "'{3,2,1}'"),
    ("lseg", "'[(0,0),(1,1)]'", "'[(0,0),(2,2)]'"),
    ("macaddr", "'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'"),
    ("macaddr8", "'08:00:2b:01:02:03:04:05'", "'08:00:2b:01:02:03:04:06'"),
    ("money", "'12.34'", "'-1000000'"),
    ("name", "'abc'", "'def'"),
    ("numeric", "'NaN'", "'Infinity'"),
    ("numeric(30, 10)", "12345678901234567890.0123456789", "-0.0000000001"),
    ("numeric", "1e1000", "1e-1000"),
    ("oid", "0", "4294967295"),
    ("path", "'[(0,0),(1,1)]'", "'((0,0),(1,1))'"),
    ("pg_lsn", "'16/B374D848'", "'0/0'"),
    ("point", "'(1,2)'", "'(2,1)'"),
    ("polygon", "'((0,0),(1,1),(1,0))'", "'((0,0),(2,2),(2,0))'"),
    ("real", "1.5", "'-Infinity'"),
    ("regclass", "'pg_class'", "'pg_type'"),
    ("smallint", "1", "-32768"),
    ("text", "E'tab\\t \"quote\" \\\\ newline\\n \u00e9 \U0001f600'", "''"),
    ("tid", "'(0,1)'", "'(1,0)'"),
    ("time", "'24:00:00'", "'00:00:00.000001'"),
    ("timetz", "'04:05:06-08'", "'04:05:06+08'"),
    ("timestamp", "'infinity'", "'4713-01-01 BC'"),
    ("timestamptz", "'-infinity'", "'2026-11-24 12:00:00.123456+02'"),
    ("tsquery", "'fat & rat'", "'fat | rat'"),
    ("tsvector", "'a:1 fat:2 cat:3'", "''"),
    ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'00000000-0000-0000-0000-000000000000'"),
    ("varchar(10)", "'abc'", "'abcd'"),
    ("xid8", "'1'", "'18446744073709551615'"),
    ("integer[]", "'{1,NULL,3}'", "'{}'"),
    ("text[][]", """'{{"a,b",c},{"d\\"e",f}}'""", "'{}'"),
    ("date[]", "'{infinity,2026-11-24}'", "'{}'"),
    ("jsonb[]", """ARRAY['{"a": 1}', 'null']::jsonb[]""", "'{}'"),
    ("int4range", "'[1,5)'", "'empty'"),
    ("numrange", "'[1.5,)'", "'(,1]'"),
    ("tstzrange", "'[2026-01-01 00:00+00,infinity)'", "'empty'"),
    ("int8multirange", "'{[1,3),[5,7)}'", "'{}'"),
    ("datemultirange", "'{[2026-01-01,2026-02-01)}'", "'{}'"),
    ("mood", "'sad'", "'happy ''quoted'''"),
    ("mood[]", "'{sad}'", "'{}'"),
    ("short_text", "'abc'", "'abd'"),
    ("address", "ROW('street \"x\"', 7)", "ROW(NULL, NULL)"),
    ("address[]", "ARRAY[ROW('a', 1)]::address[]", "'{}'"),
    ("integer GENERATED ALWAYS AS IDENTITY", "DEFAULT", "DEFAULT"),
]

# Of Debian's packages; the wheels with PostgreSQL 18 and 16 come without them.
OPTIONAL = {
    "xml": ("'<a>1</a>'", "'<b/>'"),
    "hstore": ("""'a=>1, "b c"=>NULL'""", "''"),
    "citext": ("'Ann'", "'ann'"),
    "ltree": ("'top.science'", "'top'"),
}


@pytest.fixture
def connection(connection: Connection) -> Connection:
    """The same, with types of users."""
    connection.exec_driver_sql("CREATE TYPE mood AS ENUM ('sad', 'happy ''quoted''')")
    connection.exec_driver_sql("CREATE DOMAIN short_text AS varchar(5) CHECK (value <> 'x')")
    connection.exec_driver_sql("CREATE TYPE address AS (street text, number int)")
    return connection


def record(connection: Connection, definition: str, first: str, second: str) -> None:
    """Write both values, and compare the trail with what PostgreSQL makes of the column itself."""
    connection.exec_driver_sql(f"CREATE TABLE things (id int PRIMARY KEY, value {definition})")
    log = AuditLog(MetaData())
    Table("things", log.metadata, autoload_with=connection, info={"versioned": {}}, resolve_fks=False)
    log.install(connection)
    connection.execute(text("SELECT set_config('search_path', 'public', true)"))
    expected = []
    for statement in (
        f"INSERT INTO things VALUES (1, {first})",
        f"UPDATE things SET value = {second}",
    ):
        connection.exec_driver_sql(statement)
        expected.append(connection.exec_driver_sql("SELECT to_jsonb(value)::text FROM things").scalar())
    trail = connection.exec_driver_sql(
        "SELECT verb, (changed_data -> 'value')::text, (old_data -> 'value')::text FROM activity ORDER BY id"
    ).all()
    assert [tuple(row) for row in trail] == [
        ("insert", expected[0], None),
        ("update", expected[1], expected[0]),
    ]


@pytest.mark.filterwarnings("ignore:Did not recognize type")
@pytest.mark.parametrize(("definition", "first", "second"), BUILT_IN)
def test_a_value_is_recorded_as_postgresql_writes_it(
    connection: Connection, definition: str, first: str, second: str
) -> None:
    record(connection, definition, first, second)


@pytest.mark.filterwarnings("ignore:Did not recognize type")
@pytest.mark.parametrize("name", OPTIONAL)
def test_a_value_of_a_type_that_not_every_server_has(connection: Connection, name: str) -> None:
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("SELECT xml '<a/>'" if name == "xml" else f"CREATE EXTENSION {name}")
    except NotSupportedError:
        pytest.skip(f"this server comes without {name}; the matrix has one with it")
    record(connection, name, *OPTIONAL[name])


def test_a_generated_column_is_recorded(connection: Connection) -> None:
    connection.exec_driver_sql(
        "CREATE TABLE things (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)"
    )
    log = AuditLog(MetaData())
    Table("things", log.metadata, autoload_with=connection, info={"versioned": {}})
    log.install(connection)
    connection.exec_driver_sql("INSERT INTO things VALUES (4)")
    connection.exec_driver_sql("UPDATE things SET id = 5")
    assert connection.exec_driver_sql("SELECT changed_data FROM activity ORDER BY id").scalars().all() == [
        {"id": 4, "twice": 8},
        {"id": 5, "twice": 10},
    ]


def test_large_and_deep_values_are_recorded(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE TABLE things (id int PRIMARY KEY, large text, deep jsonb)")
    log = AuditLog(MetaData())
    Table("things", log.metadata, autoload_with=connection, info={"versioned": {}})
    log.install(connection)
    deep = "[" * 1000 + "]" * 1000
    connection.execute(
        text("INSERT INTO things VALUES (1, repeat('x', 10000000), CAST(:deep AS jsonb))"), {"deep": deep}
    )
    connection.exec_driver_sql("UPDATE things SET large = repeat('y', 10000000)")
    assert connection.exec_driver_sql(
        "SELECT bool_and(length(coalesce(changed_data ->> 'large', old_data ->> 'large')) = 10000000),"
        " bool_or(changed_data ->> 'large' LIKE 'yyy%%'), count(*) FROM activity"
    ).one() == (True, True, 2)


@pytest.mark.parametrize(
    "value",
    [
        r'{"a": "\u0000"}',
        r'{"a": "\ud800"}',
        r'{"a": ["x", "\\\u0000 and \\u0000"]}',
        '{"a": 1' + "0" * 200000 + "}",
    ],
)
@pytest.mark.parametrize("definition", ["json", "loose"])
def test_a_json_that_jsonb_cannot_hold_is_marked_and_keeps_its_text(
    connection: Connection, definition: str, value: str
) -> None:
    connection.exec_driver_sql("CREATE DOMAIN loose AS json")
    connection.exec_driver_sql(f'CREATE TABLE things (id int PRIMARY KEY, "va\nl" {definition}, other json)')
    log = AuditLog(MetaData())
    Table("things", log.metadata, autoload_with=connection, info={"versioned": {}})
    log.install(connection)
    connection.execute(text("""INSERT INTO things VALUES (1, CAST(:value AS json), '{"b": 1}')"""), {"value": value})
    connection.exec_driver_sql("""UPDATE things SET other = '{"b": 2}'""")
    marked = {"$unstorable": value}
    assert connection.exec_driver_sql("SELECT old_data, changed_data FROM activity ORDER BY id").all() == [
        ({}, {"id": 1, "va\nl": marked, "other": {"b": 1}}),
        ({"id": 1, "va\nl": marked, "other": {"b": 1}}, {"other": {"b": 2}}),
    ]


def test_an_hstore_can_be_read_back_and_restored(engine: Engine) -> None:
    """PostgreSQL turns it into a JSON object, and does not turn that back."""
    log = AuditLog(MetaData())
    things = Table(
        "things", log.metadata, Column("id", Integer, primary_key=True), Column("tags", HSTORE), info={"versioned": {}}
    )
    with engine.begin() as connection:
        try:
            connection.exec_driver_sql("CREATE EXTENSION hstore")
        except NotSupportedError:
            pytest.skip("this server comes without hstore; the matrix has one with it")
    # A new connection knows the type.
    engine.dispose()
    log.attach(engine)
    tags = {"a": "1", 'b "c\\': None, "": "x\ny", "d=>e": "ä, 'f'"}
    with engine.begin() as connection:
        log.metadata.create_all(connection)
        log.install(connection)
        connection.execute(insert(things), [{"id": 1, "tags": tags}, {"id": 2, "tags": {}}, {"id": 3, "tags": None}])
    with engine.begin() as connection:
        connection.execute(delete(things))
        deleted = connection.execute(select(log.activity_cls.transaction_id).order_by(log.activity_cls.id.desc()))
        transaction = deleted.scalars().first()
    with engine.begin() as connection:
        inserted = connection.scalar(
            select(func.max(log.activity_cls.issued_at)).where(log.activity_cls.verb == "insert")
        )
        rows = log.as_of(things, inserted)
        assert [row.tags for row in connection.execute(select(rows.c.tags).order_by(rows.c.id))] == [tags, {}, None]
        plan = log.plan_undo(connection, transaction)
        assert plan.conflicts == []
        plan.apply()
        assert connection.scalars(select(things.c.tags).order_by(things.c.id)).all() == [tags, {}, None]
    log.detach(engine)
