"""The history that other audit trails recorded."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_core import AuditLog, ConfigurationError, MaintenanceError, audit_context
from sqlalchemy import URL, DateTime, Engine, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from .old_trails import create_flask_audit_logger, create_postgresql_audit


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Article(Base):
    __tablename__ = "articles"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    price: Mapped[float | None]
    at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))


class Line(Base):
    __tablename__ = "lines"
    __table_args__: Any = ({"info": {"versioned": {}}},)

    order_id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]


log = AuditLog(Base, actor_cls=User)
ARTICLE, LINE = Article.__table__, Line.__table__


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    engine = create_engine(database)
    Base.metadata.create_all(engine)
    log.attach(engine)
    yield engine
    engine.dispose()


def install(engine: Engine) -> None:
    with engine.begin() as connection:
        log.install(connection)


OLD = """
SET TIME ZONE 'Asia/Kathmandu';
SET audit_old.actor = '1';
INSERT INTO articles VALUES (1, 'Hello', 12.5, '2024-01-01 10:00+00');
UPDATE articles SET price = 13 WHERE id = 1;
SET audit_old.actor = '2';
INSERT INTO articles VALUES (2, 'Bye', NULL, NULL);
UPDATE articles SET id = 3 WHERE id = 2;
SET audit_old.actor = '';
DELETE FROM articles WHERE id = 3;
INSERT INTO lines VALUES (7, 1, 'a'), (7, 2, 'b');
UPDATE lines SET text = 'c' WHERE number = 2;
"""


def write(engine: Engine, script: str) -> None:
    """Run each line in a transaction of its own, in one session."""
    with engine.connect() as connection:
        for line in filter(None, script.splitlines()):
            connection.execute(text(line))
            connection.commit()


@pytest.mark.parametrize(
    ("source", "create"),
    [
        ("flask-audit-logger-1", create_flask_audit_logger),
        ("flask-audit-logger-2", create_flask_audit_logger),
        ("postgresql-audit", create_postgresql_audit),
    ],
)
def test_the_old_history_is_read_as_our_own(engine: Engine, source: str, create: Any) -> None:
    create(engine, "audit_old", ["articles", "lines"])
    write(engine, OLD)
    with engine.begin() as connection:
        connection.execute(text("SET session_replication_role = replica"))
        connection.execute(text("DROP FUNCTION audit_old.create_activity() CASCADE"))
    install(engine)
    done = log.import_trail(engine, source, schema="audit_old")
    assert (done.activities, done.skipped, done.without_key, done.without_actor) == (8, (), (), 4)

    with Session(engine) as session, audit_context(actor_id=5):
        session.execute(text("UPDATE articles SET title = 'Own' WHERE id = 1"))
        session.commit()
    with Session(engine) as session:
        session.add_all([User(id=1, name="Ann"), User(id=2, name="Ben")])
        found = session.scalars(log.history(Article, 1)).all()
        assert [each.verb for each in found] == ["update", "update", "insert"]
        assert [each.transaction.actor_id for each in found] == [5, 1, 1]
        assert found[0].id > 0 > found[1].id > found[2].id
        assert found[1].changes == {"price": (12.5, 13.0)}
        assert found[2].after.at == dt.datetime(2024, 1, 1, 10, tzinfo=dt.timezone.utc)
        assert found[1].old_data["at"] == "2024-01-01T10:00:00+00:00"
        assert found[1].transaction.meta == {"imported_from": source}
        assert str(found[1].transaction.client_addr) == "127.0.0.1"
        assert [each.verb for each in session.scalars(log.history(Article, 3))] == ["delete", "update", "insert"]
        assert [each.row_key for each in session.scalars(log.history(Line, (7, 2)))] == ["[7, 2]", "[7, 2]"]
        before = log.get_as_of(session, Article, 1, found[2].issued_at)
        assert before is not None
        assert before.price == 12.5
        plan = log.plan_undo(session, found[1].transaction)
        assert [step.action for step in plan.steps] == ["update"]
        plan.apply()
        assert session.scalar(text("SELECT price FROM articles WHERE id = 1")) == 12.5
    with engine.connect() as connection:
        problems = list(log.check(connection))
        assert [each.message for each in problems if "import" in each.message] == []
    with engine.connect() as connection:
        assert list(log.verify(connection)) == []


def test_it_is_imported_once(engine: Engine) -> None:
    create_flask_audit_logger(engine, "audit_old", ["articles"])
    write(engine, "INSERT INTO articles VALUES (1, 'Hello')")
    write(engine, "DROP FUNCTION audit_old.create_activity() CASCADE")
    install(engine)
    log.import_trail(engine, "flask-audit-logger-2", schema="audit_old")
    with pytest.raises(ConfigurationError, match="was imported already, at "):
        log.import_trail(engine, "flask-audit-logger-2", schema="audit_old")
    with Session(engine) as session:
        assert len(session.scalars(log.history(Article, 1)).all()) == 1


def old_articles(engine: Engine, script: str, then: str = "") -> None:
    """Record with the old trail, then install ours."""
    create_flask_audit_logger(engine, "audit_old", ["articles"])
    write(engine, script)
    write(engine, f"DROP FUNCTION audit_old.create_activity() CASCADE\n{then}")
    install(engine)


def import_old(engine: Engine, **how: Any) -> Any:
    return log.import_trail(engine, "flask-audit-logger-2", schema="audit_old", **how)


def test_it_may_come_when_there_are_own_activities_in_several_partitions(engine: Engine) -> None:
    old_articles(engine, "INSERT INTO articles VALUES (1, 'Hello')\nUPDATE articles SET title = 'Old'")
    write(engine, "UPDATE articles SET title = 'Own 1'")
    log.split(engine, at_once=True)
    write(engine, "UPDATE articles SET title = 'Own 2'")
    done = import_old(engine)
    with Session(engine) as session:
        found = session.scalars(log.history(Article, 1)).all()
        assert [each.changed_data["title"] for each in found] == ["Own 2", "Own 1", "Old", "Hello"]
        assert [each.id for each in found[2:]] == [-1, -2]
        assert found[2].transaction_id == -1
        newest_first = session.scalars(log.activities(table=Article)).all()
        assert newest_first == found
        assert session.scalars(log.activities(table=Article, until=done.until)).all() == found[2:]
        assert session.scalars(log.activities(table=Article, since=found[1].issued_at)).all() == found[:2]
        row = log.get_as_of(session, Article, 1, found[2].issued_at)
        assert row is not None
        assert row.title == "Old"
        imported, *own = log.partitions(session)
        assert (imported.name, imported.from_id, imported.end_id, imported.rows) == (done.partition, -2, 0, 2)
        assert len(own) == 2
    # It goes when it is old enough, like any other partition.
    first, *_ = log.retain(engine, dt.timedelta(milliseconds=1))
    assert first.partition == done.partition
    with Session(engine) as session:
        assert session.scalar(text("SELECT count(*) FROM transaction WHERE id < 0")) == 0


def test_a_second_one_comes_before_the_first(engine: Engine) -> None:
    old_articles(engine, "INSERT INTO articles VALUES (1, 'Hello')")
    import_old(engine)
    rows = [{"issued_at": "2020-01-01T00:00:00Z", "table": "articles", "verb": "insert", "changed_data": {"id": 9}}]
    done = log.import_rows(engine, rows, source="elsewhere")
    assert done.activities == 1
    with Session(engine) as session:
        (activity,) = session.scalars(log.history(Article, 9))
        assert activity.id == -2
        assert activity.transaction.meta == {"imported_from": "elsewhere"}


def test_times_find_what_is_not_in_their_order(engine: Engine) -> None:
    """One that is later than another, or than what was recorded meanwhile, has smaller ids."""
    install(engine)
    write(engine, "INSERT INTO articles VALUES (1, 'Own')")
    log.split(engine, at_once=True)
    write(engine, "INSERT INTO articles VALUES (2, 'Own')")
    with Session(engine) as session:
        own = list(session.scalars(log.activities(table=Article).order_by(None)))
    late = own[0].issued_at + (own[1].issued_at - own[0].issued_at) / 2

    def year(number: int) -> dt.datetime:
        return dt.datetime(number, 1, 1, tzinfo=dt.timezone.utc)

    for key, when in ((22, year(2022)), (24, year(2024)), (20, year(2020)), (99, late)):
        row = {
            "issued_at": when.isoformat(),
            "table": "articles",
            "verb": "insert",
            "changed_data": {"id": key, "title": "Old"},
        }
        log.import_rows(engine, [row], source=str(when.year), progress=None)
    with Session(engine) as session:

        def keys(**bounds: dt.datetime) -> set[str]:
            return {each.row_key for each in session.scalars(log.activities(table=Article, **bounds))}

        assert keys(since=year(2023)) == {"24", "99", "1", "2"}
        assert keys(until=year(2023)) == {"20", "22"}
        assert keys(since=year(2021), until=year(2023)) == {"22"}
        assert keys(since=late) == {"99", "2"}
        assert keys(until=late) == {"20", "22", "24", "99", "1"}
        rows = log.as_of(Article, year(2023))
        assert set(session.scalars(select(rows.c.id))) == {20, 22}


def test_changes_that_would_come_before_earlier_ones_are_refused(engine: Engine) -> None:
    install(engine)
    write(engine, "INSERT INTO articles VALUES (1, 'Own')")
    row = {"table": "articles", "verb": "update", "old_data": {"id": 1, "title": "Own"}, "changed_data": {"title": "x"}}
    later = {**row, "issued_at": (dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=1)).isoformat()}
    with pytest.raises(ConfigurationError, match=r"1 changes of .* are later than .* public.articles '1' at ") as error:
        log.import_rows(engine, [{**row, "issued_at": "2020-01-01T00:00:00Z"}, later], source="elsewhere")
    with Session(engine) as session:
        assert len(session.scalars(log.history(Article, 1)).all()) == 1
    write(engine, str(error.value).partition("give the import up: ")[2])
    done = log.import_rows(engine, [{**row, "issued_at": "2020-01-01T00:00:00Z"}], source="elsewhere")
    assert done.activities == 1
    # Of another trail that is younger than the first.
    with pytest.raises(ConfigurationError, match="Of two trails, import the later one first"):
        log.import_rows(engine, [{**row, "issued_at": "2022-01-01T00:00:00Z"}], source="another")


MOVED = {"table": "articles", "verb": "update", "old_data": {"id": 1, "title": "x"}, "changed_data": {"id": 2}}
NEW = {"table": "articles", "verb": "insert", "changed_data": {"id": 1, "title": "x"}}


@pytest.mark.parametrize(
    ("script", "row"),
    [
        # The key that a record leaves is one of which the trail has a change.
        ("INSERT INTO articles VALUES (1, 'Own')", MOVED),
        # A key that a record left in the trail comes to another one.
        ("UPDATE articles SET id = 3 WHERE id = 9", {**NEW, "changed_data": {"id": 9, "title": "x"}}),
        ("UPDATE articles SET id = 3 WHERE id = 9", {**MOVED, "changed_data": {"id": 9}}),
        ("UPDATE articles SET id = 3 WHERE id = 9", {**MOVED, "old_data": {"id": 9, "title": "x"}}),
    ],
    ids=["left", "taken", "moved there", "left twice"],
)
def test_changes_of_a_key_that_would_come_before_earlier_ones_are_refused(
    engine: Engine, script: str, row: dict[str, Any]
) -> None:
    """The trail has nothing but the change of the key."""
    write(engine, "INSERT INTO articles VALUES (9, 'Older than the trail')")
    install(engine)
    write(engine, script)
    later = {**row, "issued_at": (dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=1)).isoformat()}
    said = r"1 changes of .* are later than .* public.articles '[19]' at "
    with pytest.raises(ConfigurationError, match=said) as error:
        log.import_rows(engine, [later], source="elsewhere")
    write(engine, str(error.value).partition("give the import up: ")[2])
    assert log.import_rows(engine, [{**row, "issued_at": "2020-01-01T00:00:00Z"}], source="elsewhere").activities == 1


def test_one_that_was_interrupted_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    values = "\n".join(f"INSERT INTO articles VALUES ({number}, 'Title')" for number in range(10))
    old_articles(engine, values)
    monkeypatch.setattr("audit_core.importing.run._BATCH", 3)
    seen: list[int] = []

    def interrupt(done: int, total: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        import_old(engine, progress=interrupt)
    with Session(engine) as session:
        # Nobody sees a part of it.
        assert session.scalars(log.history(Article, 1)).all() == []
        assert session.scalar(text("SELECT count(*) FROM transaction")) == 0
        (problem,) = [each for each in log.check(session) if "import" in each.message]
        assert "was interrupted" in problem.message
    with pytest.raises(MaintenanceError, match="DROP TABLE IF EXISTS"):
        log.import_trail(engine, "postgresql-audit", schema="audit_old")
    done = import_old(engine, progress=interrupt)
    assert seen == [3, 6, 9, 10]
    assert done.activities == 10
    with Session(engine) as session:
        ids = session.scalars(select(log.activity_cls.id).where(log.activity_cls.id < 0)).all()
        assert sorted(ids) == list(range(-10, 0))
        assert not [each for each in log.check(session) if "import" in each.message]


def test_what_cannot_be_imported_is_said(engine: Engine) -> None:
    old_articles(
        engine,
        "INSERT INTO articles VALUES (1, 'Hello')",
        """
        INSERT INTO audit_old.activity (schema, table_name, verb, issued_at) VALUES {}
        INSERT INTO audit_old.activity (schema, table_name, verb, issued_at, changed_data) VALUES {}
        """.replace("        ", "").format(
            "('public', 'articles', 'merge', now()), ('public', 'articles', 'update', now()),"
            " ('public', 'articles', 'insert', NULL)",
            """('public', 'gone', 'insert', now(), '{"id": 4}')""",
        ),
    )
    done = import_old(engine)
    assert {(each.table, each.reason, each.rows) for each in done.skipped} == {
        ("public.articles", "the verb is 'merge'", 1),
        ("public.articles", "nothing was changed", 1),
        ("public.articles", "there is no time", 1),
    }
    assert done.without_key == (("public.gone", 1),)
    assert done.activities == 2


def test_a_table_that_was_renamed_keeps_its_history(engine: Engine) -> None:
    write(engine, "ALTER TABLE articles RENAME TO posts")
    create_flask_audit_logger(engine, "audit_old", ["posts"])
    write(engine, "INSERT INTO posts VALUES (1, 'Hello')")
    write(engine, "DROP FUNCTION audit_old.create_activity() CASCADE\nALTER TABLE posts RENAME TO articles")
    install(engine)
    assert import_old(engine).without_key == ()
    with Session(engine) as session:
        (activity,) = session.scalars(log.history(Article, 1))
        assert activity.table_name == "posts"


def test_names_and_keys_of_tables_can_be_told(engine: Engine) -> None:
    old_articles(
        engine,
        "INSERT INTO articles VALUES (1, 'Hello')",
        "UPDATE audit_old.activity SET table_name = 'posts', relid = 0",
    )
    assert import_old(engine, names={"posts": "articles"}).without_key == ()
    with Session(engine) as session:
        assert [each.table_name for each in session.scalars(log.history(Article, 1))] == ["articles"]


def test_actors_that_do_not_fit_are_named_and_nothing_is_imported(engine: Engine) -> None:
    install(engine)
    row = {"issued_at": "2020-01-01T00:00:00Z", "table": "articles", "verb": "insert", "changed_data": {"id": 9}}
    with pytest.raises(ConfigurationError, match=r'whose actor_id is integer: .*"ann".* Nothing was imported'):
        log.import_rows(engine, [{**row, "actor_id": "ann"}])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([], "Row 2 is not an object"),
        ({"verb": "upsert"}, "Row 2 has the verb 'upsert', and not one of insert, update, delete, snapshot"),
        ({"table": None}, "Row 2 has no 'table'"),
        ({"issued_at": "2020-01-01"}, "Row 2 has '2020-01-01' in 'issued_at', without an offset from UTC"),
        ({"issued_at": "soon"}, "Row 2 has 'soon' in 'issued_at', which is not a time like 2024-05-01T12:00:00Z"),
        ({"issued_at": "2019-01-01T00:00:00Z"}, "Row 2 is from 2019-01-01.*, before the row above"),
        ({"verb": "update"}, "Row 2 has no 'old_data', the row before the update"),
        ({"changed_data": None}, "Row 2 has no 'changed_data'"),
        ({"changed_data": "x"}, "Row 2 has in 'changed_data' something that is not an object"),
        ({"changed_data": {"title": "\0"}}, "Row 2 holds a NUL"),
        ({"client_addr": "here"}, "Row 2 has 'here' in 'client_addr', which is not an IP address"),
        ({"delta_depth": 1}, "Row 2 has only a part of the row before the change"),
        ({"user": 1}, "Row 2 has 'user', which is not known"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(engine: Engine, row: Any, message: str) -> None:
    install(engine)
    good = {"issued_at": "2020-01-01T00:00:00Z", "table": "articles", "verb": "insert", "changed_data": {"id": 9}}
    with pytest.raises(ConfigurationError, match=f"{message}.*Nothing was imported"):
        log.import_rows(engine, [good, {**good, **row} if isinstance(row, dict) else row])
    assert log.import_rows(engine, [good]).activities == 1


def test_rows_of_one_transaction_stay_together(engine: Engine) -> None:
    install(engine)
    when = dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    of = {"issued_at": when, "table": "articles", "transaction_id": "a1", "actor_id": 1, "meta": {"reason": "Import"}}
    rows = [
        {**of, "verb": "insert", "changed_data": {"id": 1, "title": "x", "price": 12345678901234567.25}},
        {**of, "verb": "update", "old_data": {"id": 1, "title": "x"}, "new_data": {"id": 1, "title": "y"}},
        {**of, "actor_id": 2, "verb": "delete", "old_data": {"id": 1, "title": "y"}},
    ]
    done = log.import_rows(engine, rows)
    assert (done.activities, done.transactions, done.since) == (3, 2, when)
    with Session(engine) as session:
        last, middle, first = session.scalars(log.history(Article, 1))
        assert first.transaction is middle.transaction is not last.transaction
        assert first.transaction.meta == {"imported_from": "jsonl", "reason": "Import"}
        assert middle.changed_data == {"title": "y"}


def test_a_time_that_cannot_be_read_is_named(engine: Engine) -> None:
    install(engine)
    data = {"id": 9, "at": "2024-13-01T10:00:00+02:00"}
    row = {"issued_at": "2020-01-01T00:00:00Z", "table": "articles", "verb": "insert", "changed_data": data}
    with pytest.raises(ConfigurationError, match=r"jsonl holds a value .*: .*2024-13-01.* Nothing was imported"):
        log.import_rows(engine, [row])


def test_a_stream_that_starts_at_the_beginning_has_it(engine: Engine) -> None:
    old_articles(engine, "INSERT INTO articles VALUES (1, 'Hello')")
    import_old(engine)
    found = []
    for batch in log.stream(engine, "consumer", start="beginning", interval=0.1).batches(wait=False):
        found += [(each.row_key, each.verb, (each.transaction.meta or {}).get("imported_from")) for each in batch]
        batch.acknowledge()
    assert found == [("1", "insert", "flask-audit-logger-2"), (None, "maintenance", None)]


def test_a_stream_that_starts_at_an_instant_has_what_was_imported_from_then_on(engine: Engine) -> None:
    install(engine)
    write(engine, "INSERT INTO articles VALUES (1, 'Own')")
    # The one that is imported last, which has the smallest ids, is the later one.
    for year, keys in ((2020, range(10_000, 12_500)), (2024, range(10))):
        rows = (
            {
                "issued_at": f"{year}-01-01T00:00:00+00:00",
                "table": "articles",
                "verb": "insert",
                "changed_data": {"id": 100 + key, "title": "Old"},
            }
            for key in keys
        )
        log.import_rows(engine, rows, source=str(year), progress=None)
    start = dt.datetime(2022, 1, 1, tzinfo=dt.timezone.utc)
    first = next(log.stream(engine, "search", start=start).batches())[0]
    assert (first.row_key, first.issued_at.year) == ("100", 2024)


def test_what_it_says_of_its_origin_cannot_be_said_by_a_row(engine: Engine) -> None:
    install(engine)
    row = {"issued_at": "2020-01-01T00:00:00Z", "table": "articles", "verb": "insert", "changed_data": {"id": 9}}
    log.import_rows(engine, [{**row, "meta": {"imported_from": "here"}}], source="there")
    with Session(engine) as session:
        assert session.scalars(select(log.transaction_cls.meta).where(log.transaction_cls.id < 0)).all() == [
            {"imported_from": "there"}
        ]


KILLED = """
import sys
import tests.core_only.test_import as t
from audit_core.importing import run
from sqlalchemy import create_engine

run._BATCH = 10
t.import_old(create_engine(sys.argv[1]), progress=lambda done, total: (print(done, flush=True), sys.stdin.readline()))
"""


def test_one_that_was_killed_goes_on(engine: Engine, database: URL) -> None:
    values = "\n".join(f"INSERT INTO articles VALUES ({number}, 'Title')" for number in range(50))
    old_articles(engine, values)
    command = [sys.executable, "-c", KILLED, database.render_as_string(hide_password=False)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "10\n"
        print(file=process.stdin, flush=True)
        assert process.stdout.readline() == "20\n"
        process.kill()
    seen: list[int] = []
    done = import_old(engine, progress=lambda done, total: seen.append(done))
    assert seen == [50]  # what is left is less than a batch
    assert done.activities == 50
    with Session(engine) as session:
        assert len(session.scalars(log.history(Article, 7)).all()) == 1
        assert session.scalar(text("SELECT count(*) FROM activity WHERE id < 0")) == 50
        assert session.scalar(text("SELECT count(*) FROM transaction WHERE id < 0")) == 50
