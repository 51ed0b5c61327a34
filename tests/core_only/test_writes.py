"""Every way to write is recorded, and says who did it where SQLAlchemy, or the writer, can say so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from audit_core import AuditLog, audit_context
from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert as pg_insert

pytestmark = pytest.mark.each_server

META = MetaData()
LOG = AuditLog(META)
AUTHORS = Table(
    "authors", META, Column("id", Integer, primary_key=True), Column("name", String), info={"versioned": {}}
)
BOOKS = Table(
    "books",
    META,
    Column("id", Integer, primary_key=True),
    Column("author_id", ForeignKey("authors.id", ondelete="CASCADE", onupdate="CASCADE")),
    Column("title", String),
    info={"versioned": {}},
)

ADD_AUTHOR = (
    "CREATE FUNCTION add_author(int) RETURNS int LANGUAGE sql AS 'INSERT INTO authors VALUES ($1) RETURNING id'"
)


@pytest.fixture
def audited(engine: Engine) -> Iterator[Engine]:
    with engine.begin() as connection:
        META.create_all(connection)
        LOG.install(connection)
        connection.exec_driver_sql("INSERT INTO authors VALUES (1, 'Ann')")
        connection.exec_driver_sql("INSERT INTO books VALUES (1, 1, 'First')")
    LOG.attach(engine)
    yield engine
    LOG.detach(engine)


@pytest.fixture
def connection(audited: Engine) -> Iterator[Connection]:
    with audit_context(reason="this test"), audited.begin() as connection:
        yield connection


def recorded(connection: Connection) -> list[tuple[Any, ...]]:
    """The activities after those of the set-up, each of which has the reason of the test."""
    activity, transaction = LOG.activity_cls, LOG.transaction_cls
    query = select(activity.verb, activity.table_name, activity.row_key, transaction.meta).join(activity.transaction)
    rows = connection.execute(query.where(activity.id > 2).order_by(activity.id)).all()
    assert {str(row.meta) for row in rows} == {"{'reason': 'this test'}"}
    return [tuple(row)[:3] for row in rows]


def test_on_conflict_do_update(connection: Connection) -> None:
    statement = pg_insert(AUTHORS).values([{"id": 1, "name": "Anna"}, {"id": 2, "name": "Ben"}])
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"name": statement.excluded.name}))
    assert sorted(recorded(connection)) == [("insert", "authors", "2"), ("update", "authors", "1")]


def test_merge(connection: Connection) -> None:
    if connection.dialect.server_version_info < (15,):  # type: ignore[operator]
        pytest.skip("MERGE came with PostgreSQL 15")
    connection.execute(
        text(
            "MERGE INTO authors AS a USING (VALUES (1, 'Anna'), (2, 'Ben')) AS n (id, name) ON a.id = n.id "
            "WHEN MATCHED THEN UPDATE SET name = n.name WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.name)"
        )
    )
    assert sorted(recorded(connection)) == [("insert", "authors", "2"), ("update", "authors", "1")]


def test_copy_with_the_drivers_cursor_after_the_context_was_sent(connection: Connection) -> None:
    LOG.send_context(connection)
    cursor = connection.connection.cursor()
    with cursor.copy("COPY authors FROM STDIN") as copy:  # type: ignore[attr-defined]
        copy.write_row((2, "Ben"))
        copy.write_row((3, "Cid"))
    assert recorded(connection) == [("insert", "authors", "2"), ("insert", "authors", "3")]


def test_writing_ctes(connection: Connection) -> None:
    gone = BOOKS.delete().returning(BOOKS.c.author_id).cte("gone")
    connection.execute(select(gone.c.author_id)).all()
    connection.execute(text("WITH added AS (INSERT INTO authors VALUES (2, 'Ben') RETURNING id) SELECT * FROM added"))
    assert recorded(connection) == [("delete", "books", "1"), ("insert", "authors", "2")]


def test_a_select_of_a_function_that_writes(connection: Connection) -> None:
    connection.exec_driver_sql(ADD_AUTHOR)
    assert connection.scalar(select(func.add_author(2))) == 2
    assert recorded(connection) == [("insert", "authors", "2")]


def test_insert_returning(connection: Connection) -> None:
    assert connection.execute(insert(AUTHORS).values(id=2).returning(AUTHORS.c.id)).scalars().all() == [2]
    assert recorded(connection) == [("insert", "authors", "2")]


def test_server_side_cursors(connection: Connection) -> None:
    """PostgreSQL declares them for queries only, and a query may write."""
    connection.exec_driver_sql(ADD_AUTHOR)
    streamed = connection.execution_options(stream_results=True)
    assert streamed.execute(select(func.add_author(2))).scalars().all() == [2]
    assert streamed.execute(select(AUTHORS.c.id).order_by(AUTHORS.c.id)).scalars().all() == [1, 2]
    assert recorded(connection) == [("insert", "authors", "2")]


def test_cascades_of_foreign_keys(connection: Connection) -> None:
    connection.execute(AUTHORS.update().values(id=7))
    connection.execute(AUTHORS.delete())
    assert sorted(recorded(connection)) == [
        ("delete", "authors", "7"),
        ("delete", "books", "1"),
        ("update", "authors", "7"),
        ("update", "books", "1"),
    ]


def test_triggers_of_the_application(connection: Connection) -> None:
    connection.exec_driver_sql(
        "CREATE FUNCTION follow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN UPDATE books SET title = 'by ' || NEW.name WHERE author_id = NEW.id; NEW.name := upper(NEW.name);"
        " RETURN NEW; END$$"
    )
    connection.exec_driver_sql("CREATE TRIGGER follow BEFORE UPDATE ON authors FOR EACH ROW EXECUTE FUNCTION follow()")
    connection.execute(AUTHORS.update().values(name="Anna"))
    assert sorted(recorded(connection)) == [("update", "authors", "1"), ("update", "books", "1")]
    changed = select(LOG.activity_cls.changed_data).where(LOG.activity_cls.table_name == "authors")
    assert connection.scalars(changed.order_by(LOG.activity_cls.id.desc())).first() == {"name": "ANNA"}


def test_truncate_of_several_tables_with_cascade(connection: Connection) -> None:
    connection.exec_driver_sql("TRUNCATE authors CASCADE")
    assert sorted(recorded(connection)) == [("truncate", "authors", None), ("truncate", "books", None)]


def test_a_table_outside_the_search_path_and_a_changed_search_path(connection: Connection) -> None:
    connection.exec_driver_sql("CREATE SCHEMA evil")
    connection.exec_driver_sql("CREATE TABLE evil.activity (id int)")
    connection.exec_driver_sql(
        "CREATE FUNCTION evil.to_jsonb(anyelement) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'"
    )
    connection.exec_driver_sql("CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS $$SELECT 'off'$$")
    connection.exec_driver_sql(
        "CREATE OPERATOR evil.<> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = pg_catalog.jsonb_eq)"
    )
    connection.exec_driver_sql("SET LOCAL search_path = evil, pg_catalog")
    connection.exec_driver_sql("INSERT INTO public.authors VALUES (2, 'Ben')")
    connection.exec_driver_sql("UPDATE public.authors SET name = 'Benno' WHERE id = 2")
    assert recorded(connection) == [("insert", "authors", "2"), ("update", "authors", "2")]


def test_another_role_is_named_by_the_server(audited: Engine) -> None:
    role = f"other_{audited.url.database}"
    with audited.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        connection.exec_driver_sql(f"GRANT INSERT ON authors TO {role}")
    import psycopg

    url = audited.url.set(drivername="postgresql", username=role, password="x")
    conninfo = url.render_as_string(hide_password=False)
    with psycopg.connect(conninfo, application_name="a script") as connection:
        connection.execute("INSERT INTO authors VALUES (2, 'Ben')")
        for forbidden in ("DELETE FROM activity", "INSERT INTO transaction DEFAULT VALUES", "SELECT 1 FROM activity"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute(forbidden)
    with audited.begin() as connection:
        query = select(LOG.transaction_cls.db_user, LOG.transaction_cls.application_name)
        assert connection.execute(query.order_by(LOG.transaction_cls.id.desc())).first() == (role, "a script")
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")


def transactions(connection: Connection) -> list[tuple[str | None, str | None]]:
    """Actor and new name of each update."""
    activity, transaction = LOG.activity_cls, LOG.transaction_cls
    query = (
        select(transaction.actor_id, activity.changed_data["name"].astext)
        .join(activity.transaction)
        .where(activity.verb == "update")
        .order_by(activity.id)
    )
    return [(actor, name) for actor, name in connection.execute(query)]


def rename(connection: Connection, name: str, actor: str | None) -> None:
    connection.execute(text("SELECT set_config('audit_logger.actor_id', :actor, true)"), {"actor": actor or ""})
    connection.execute(text("UPDATE authors SET name = :name"), {"name": name})


def test_a_context_that_comes_back_finds_its_row_of_transaction(database: URL, audited: Engine) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        for number, actor in enumerate(["ann", "ben", "ann", None, "ben", "ann", None]):
            rename(connection, str(number), actor)
    with engine.connect() as connection:
        assert transactions(connection) == [
            (actor, str(number)) for number, actor in enumerate(["ann", "ben", "ann", None, "ben", "ann", None])
        ]
        ids = select(LOG.activity_cls.transaction_id).where(LOG.activity_cls.verb == "update").distinct()
        assert len(connection.scalars(ids).all()) == 3
    engine.dispose()


@pytest.mark.parametrize("place", ["({block},{item})", "(0,0)", "(99999999,1)", "(4294967296,1)", "(0,99999)", "x", ""])
def test_nobody_can_put_a_change_to_the_account_of_an_earlier_transaction(
    database: URL, audited: Engine, place: str
) -> None:
    """Where the row of ``transaction`` is stands in a setting that anybody can set."""
    engine = create_engine(database)
    with engine.begin() as connection:
        rename(connection, "by ann", "ann")
    with engine.begin() as connection:
        first = connection.execute(text("SELECT ctid::text FROM transaction WHERE actor_id = 'ann'")).scalar_one()
        block, item = first.strip("()").split(",")
        rename(connection, "by ben", "ben")
        connection.execute(
            text(
                "SELECT set_config('audit_logger.transaction_row', :place, true),"
                " set_config('audit_logger.transaction_context', CAST(ROW('ben', NULL, NULL) AS text), true)"
            ),
            {"place": place.format(block=block, item=item)},
        )
        rename(connection, "by ben again", "ben")
    with engine.connect() as connection:
        assert transactions(connection) == [("ann", "by ann"), ("ben", "by ben"), ("ben", "by ben again")]
    engine.dispose()


def test_after_a_savepoint_was_rolled_back_the_row_of_transaction_is_the_right_one(
    database: URL, audited: Engine
) -> None:
    engine = create_engine(database)
    with engine.begin() as connection:
        savepoint = connection.begin_nested()
        rename(connection, "gone", "ann")
        savepoint.rollback()
        rename(connection, "first", "ann")
        savepoint = connection.begin_nested()
        rename(connection, "gone", "ben")
        savepoint.rollback()
        rename(connection, "second", "ann")
        rename(connection, "third", "ben")
    with engine.connect() as connection:
        assert transactions(connection) == [("ann", "first"), ("ann", "second"), ("ben", "third")]
        missing = text("SELECT count(*) FROM activity a WHERE a.transaction_id NOT IN (SELECT id FROM transaction)")
        assert connection.scalar(missing) == 0
    engine.dispose()
