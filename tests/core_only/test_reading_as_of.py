"""How things were at an instant."""

from __future__ import annotations

import datetime as dt
import warnings
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from audit_core import AuditLog, HistoryError, HistoryWarning, notes
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import DataError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from tests.core_only.shop import (
    Customer,
    Explain,
    Line,
    Order,
    Person,
    State,
    Unaudited,
    audit_log,
    install,
    now,
    opened,
    partitioned,
    run,
)

LATER = dt.datetime.now(dt.timezone.utc) + dt.timedelta(days=1)
LONG_AGO = dt.datetime(2001, 1, 1, tzinfo=dt.timezone.utc)


@pytest.fixture
def session(shop_engine: Engine) -> Iterator[Session]:
    with opened(shop_engine) as session:
        yield session


def names(session: Session, when: dt.datetime) -> list[str]:
    rows = audit_log.as_of(Customer, when)
    return list(session.scalars(select(rows.c.name).order_by(rows.c.id)))


def test_each_change_in_turn(session: Session) -> None:
    first = run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    second = run(session, "UPDATE customers SET name = 'Anna' WHERE id = 1")
    third = run(session, "UPDATE customers SET id = 3 WHERE id = 1")
    fourth = run(session, "DELETE FROM customers WHERE id = 2")
    fifth = run(session, "INSERT INTO customers VALUES (1, 'Cid')")
    sixth = run(session, "TRUNCATE customers CASCADE")
    seventh = run(session, "INSERT INTO customers VALUES (3, 'Dan')")
    told = [names(session, when) for when in (first, second, third, fourth, fifth, sixth, seventh)]
    assert told == [["Ann", "Ben"], ["Anna", "Ben"], ["Ben", "Anna"], ["Anna"], ["Cid", "Anna"], [], ["Dan"]]
    loaded = [audit_log.get_as_of(session, Customer, 1, when) for when in (first, second, third, fifth, sixth)]
    assert [each and each.name for each in loaded] == ["Ann", "Anna", None, "Cid", None]


def test_the_instant_of_a_change_has_seen_it(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')", "UPDATE customers SET name = 'Anna'")
    update, insert = session.scalars(audit_log.history(Customer, 1))
    assert names(session, update.issued_at) == ["Anna"]
    assert names(session, update.issued_at - dt.timedelta(microseconds=1)) == ["Ann"]
    assert names(session, insert.issued_at) == ["Ann"]


def test_rows_change_places_in_one_statement(connection: Connection) -> None:
    log = AuditLog(MetaData())
    slots = Table(
        "slots", log.metadata, Column("id", Integer, primary_key=True), Column("name", String), info={"versioned": {}}
    )
    connection.execute(text("CREATE TABLE slots (id int PRIMARY KEY DEFERRABLE, name text)"))
    log.install(connection)
    run(connection, "INSERT INTO slots VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    when = run(connection, "UPDATE slots SET id = 4 - id")
    rows = log.as_of(slots, when)
    assert connection.execute(select(rows.c.id, rows.c.name).order_by(rows.c.id)).all() == [
        (1, "c"),
        (2, "b"),
        (3, "a"),
    ]


def test_rows_can_be_filtered_and_joined_with_those_of_other_tables_and_times(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    first = run(session, "INSERT INTO orders VALUES (1, 1, 10, 'OPEN'), (2, 2, 20, 'OPEN')")
    second = run(session, "UPDATE orders SET total = total + 1, state = 'PAID' WHERE id = 2")
    run(session, "DELETE FROM customers")
    customers, old, new = (audit_log.as_of(m, w) for m, w in ((Customer, second), (Order, first), (Order, second)))
    query = (
        select(customers.c.name, old.c.total, new.c.total, new.c.state)
        .join(old, old.c.customer_id == customers.c.id)
        .join(new, new.c.id == old.c.id)
        .where(new.c.state == State.PAID, new.c.total > Decimal(15))
    )
    assert session.execute(query).all() == [("Ben", Decimal(20), Decimal(21), State.PAID)]
    pairs = session.execute(select(customers.objects, new.objects).where(new.c.customer_id == customers.c.id)).all()
    assert sorted((customer.name, order.total) for customer, order in pairs) == [("Ann", 10), ("Ben", 21)]


def test_objects_belong_to_no_session(session: Session) -> None:
    ann = Customer(name="Ann")
    session.add(ann)
    session.commit()
    when = now(session)
    ann.name = "Anna"
    session.commit()
    rows = audit_log.as_of(Customer, when)
    (old,) = session.scalars(select(rows.objects))
    assert (type(old), old.name, inspect(old).transient) == (Customer, "Ann", True)
    assert session.get(Customer, 1) is ann
    assert ann.name == "Anna"
    old.name = "changed by mistake"
    session.commit()
    session.expire_all()
    assert session.scalars(select(Customer.name)).all() == ["Anna"]
    assert audit_log.get_as_of(session, Customer, 1, when) not in session


def test_rows_can_stand_for_the_model_in_a_query(session: Session) -> None:
    when = run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    run(session, "DELETE FROM customers WHERE id = 1")
    old = aliased(Customer, audit_log.as_of(Customer, when))
    assert session.scalars(select(old.name).where(old.id == 1)).all() == ["Ann"]
    gone = select(old.name).outerjoin(Customer, Customer.id == old.id).where(Customer.id.is_(None))
    assert session.scalars(gone).all() == ["Ann"]


def test_large_answers_are_streamed(session: Session) -> None:
    when = run(session, "INSERT INTO customers SELECT n, 'n' || n FROM generate_series(1, 2500) AS n")
    rows = audit_log.as_of(Customer, when)
    seen = 0
    for part in session.scalars(select(rows.objects).execution_options(yield_per=1000)).partitions():
        assert len(part) <= 1000
        seen += len(part)
    assert seen == 2500
    with session.scalars(audit_log.activities(table=Customer).execution_options(yield_per=1000)) as activities:
        assert next(iter(activities)).row_key == "2500"


def test_a_table_without_a_model(connection: Connection) -> None:
    log = AuditLog(MetaData())
    tags = Table(
        "tags",
        log.metadata,
        Column("article", Integer, primary_key=True),
        Column("Tag Name", String(5), primary_key=True, key="tag"),
        info={"versioned": {}},
    )
    log.metadata.create_all(connection)
    log.install(connection)
    when = run(connection, "INSERT INTO tags VALUES (1, 'a b')")
    run(connection, "DELETE FROM tags")
    rows = log.as_of(tags, when)
    assert connection.execute(select(rows.c.article, rows.c.tag)).all() == [(1, "a b")]
    assert log.get_as_of(connection, tags, (1, "a b"), when)["tag"] == "a b"  # type: ignore[index, arg-type]
    (activity,) = connection.execute(log.history(tags, (1, "a b")).where(log.activity_cls.verb == "insert")).all()
    assert activity.row_key == '[1, "a b"]'
    with pytest.raises(HistoryError, match="ask for its model"):
        _ = rows.objects


def test_subclasses_in_one_table(connection: Connection) -> None:
    class Base(DeclarativeBase):
        pass

    class Pet(Base):
        __tablename__ = "pets"
        __table_args__: Any = ({"info": {"versioned": {}}},)
        __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "pet"}
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]

    class Dog(Pet):
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "dog"}
        bark: Mapped[str | None]

    log = AuditLog(Base)
    Base.metadata.create_all(connection)
    log.install(connection)
    when = run(connection, "INSERT INTO pets VALUES (1, 'dog', 'woof'), (2, 'pet', NULL)")
    session = Session(connection)
    pets = log.as_of(Pet, when)
    assert [type(each) for each in session.scalars(select(pets.objects).order_by(pets.c.id))] == [Dog, Pet]
    dogs = log.as_of(Dog, when)
    assert [each.bark for each in session.scalars(select(dogs.objects))] == ["woof"]
    assert log.get_as_of(session, Dog, 2, when) is None
    assert [type(each.after) for each in session.scalars(log.activities().order_by(None).order_by("id"))] == [Dog, Pet]


def test_before_the_history_begins(session: Session) -> None:
    start = now(session) - dt.timedelta(days=1)
    run(session, "INSERT INTO customers VALUES (1, 'Ann')")
    when = run(session, "INSERT INTO customers VALUES (2, 'Ben')")
    with pytest.raises(HistoryError, match=r"The history of 'customers' 1 begins at .* with its insert"):
        audit_log.get_as_of(session, Customer, (1,), start)
    kathmandu = start.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=45)))
    with pytest.raises(HistoryError, match=r"begins at \S+\+05:45 with its insert, and \S+\+05:45 is before that"):
        audit_log.get_as_of(session, Customer, 1, kathmandu)
    with pytest.raises(HistoryError, match=r"Nothing is recorded of 'customers' 3\. .*snapshot_audited_table"):
        audit_log.get_as_of(session, Customer, 3, start)
    with pytest.raises(HistoryError, match="begins at"):
        audit_log.diff(session, Customer, 1, start, when)
    for model, message in (
        (Customer, r"history of customers begins at \d"),
        (Line, r"history of lines begins at \d"),
    ):
        with pytest.raises(DataError, match=message), session.begin_nested():
            session.execute(select(audit_log.as_of(model, start)))


def test_a_snapshot_is_a_beginning(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE customers (id int PRIMARY KEY, name text, code text UNIQUE)"))
        connection.execute(text("INSERT INTO customers VALUES (1, 'Ann', NULL)"))
    install(engine)
    with opened(engine) as session:
        begin = now(session)
        session.commit()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CALL audit_logger_snapshot('customers', 100)"))
        when = now(session)
        run(session, "UPDATE customers SET name = 'Anna'")
        assert names(session, when) == ["Ann"]
        loaded = audit_log.get_as_of(session, Customer, 1, when)
        assert loaded is not None
        assert (loaded.name, notes(loaded)) == ("Ann", ())
        with pytest.raises(HistoryError, match=r"begins at .* with its snapshot"):
            audit_log.get_as_of(session, Customer, 1, begin)


@pytest.mark.parametrize(
    ("model", "when", "message"),
    [
        (Customer, dt.datetime(2026, 1, 1), "no time zone"),
        (Customer, LATER, "in the future"),
        (Customer, "2026-01-01", "make it a datetime"),
        (Unaudited, LONG_AGO, "'unaudited' is not audited"),
        (object, LONG_AGO, "neither a mapped class nor a Table"),
    ],
)
def test_what_cannot_be_asked(session: Session, model: Any, when: Any, message: str) -> None:
    for ask in (
        lambda: audit_log.as_of(model, when),
        lambda: audit_log.get_as_of(session, model, 1, when),
        lambda: audit_log.diff(session, model, 1, when, when),
    ):
        with pytest.raises(HistoryError, match=message):
            ask()


def test_sessions_are_needed(engine: Engine) -> None:
    with pytest.raises(HistoryError, match="neither a Session nor a Connection"):
        audit_log.get_as_of(engine, Customer, 1, LONG_AGO)  # type: ignore[arg-type]


def test_columns_that_were_added_and_dropped(session: Session) -> None:
    run(session, "ALTER TABLE customers DROP COLUMN code CASCADE, ADD COLUMN age int DEFAULT 7")
    when = run(session, "INSERT INTO customers (id, name) VALUES (1, 'Ann')")
    run(session, "ALTER TABLE customers DROP COLUMN age, ADD COLUMN code text DEFAULT 'new'")
    rows = audit_log.as_of(Customer, when)
    assert session.execute(select(rows.c.name, rows.c.code, rows.c.audit_notes)).all() == [
        ("Ann", None, ['"code" was not recorded'])
    ]
    loaded = audit_log.get_as_of(session, Customer, 1, when)
    assert loaded is not None
    assert (loaded.code, notes(loaded)) == (None, ('"code" was not recorded',))
    (activity,) = session.scalars(audit_log.history(Customer, 1))
    assert activity.changes == {"id": (None, 1), "name": (None, "Ann"), "age": (None, 7)}
    assert notes(activity.after) == ('"code" was not recorded',)


def test_values_longer_than_the_column_is_now(connection: Connection) -> None:
    log = AuditLog(MetaData())
    things = Table(
        "things",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("text", String(3)),
        Column("tags", String(3).with_variant(String(3), "sqlite")),
        info={"versioned": {}},
    )
    connection.execute(text("CREATE TABLE things (id int PRIMARY KEY, text text, tags text)"))
    log.install(connection)
    when = run(connection, "INSERT INTO things VALUES (1, 'abcdef', 'ghijkl')")
    assert connection.execute(select(log.as_of(things, when))).one()[:3] == (1, "abcdef", "ghijkl")


def test_masked_and_excluded_columns_are_unknown(session: Session) -> None:
    first = run(session, "INSERT INTO people VALUES (1, 'Ann', 'red', '123', 30)")
    second = run(session, "UPDATE people SET ssn = '456', age = 31, name = 'Anna'")
    said = ['"hair" was not recorded', '"age" is masked', '"ssn" is masked']
    rows = audit_log.as_of(Person, first)
    assert session.execute(select(rows.c.name, rows.c.hair, rows.c.ssn, rows.c.age, rows.c.audit_notes)).all() == [
        ("Ann", None, None, None, said)
    ]
    loaded = audit_log.get_as_of(session, Person, 1, second)
    assert loaded is not None
    assert (loaded.name, loaded.ssn, loaded.age, list(notes(loaded))) == ("Anna", None, None, said)
    (update, _) = session.scalars(audit_log.history(Person, 1))
    assert update.changes == {"name": ("Ann", "Anna"), "ssn": ("***", "***"), "age": ("***", "***")}
    assert (update.before.name, update.before.ssn, update.before.age) == ("Ann", None, None)
    assert sorted(notes(update.before)) == sorted(said)
    difference = audit_log.diff(session, Person, 1, first, second)
    assert (difference, list(difference.notes)) == ({"name": ("Ann", "Anna")}, said)


def test_masks_of_a_column_that_is_no_longer_masked(connection: Connection) -> None:
    log = AuditLog(MetaData())
    people = Table(
        "people",
        log.metadata,
        Column("id", Integer, primary_key=True),
        Column("age", Integer),
        Column("motto", String),
        info={"versioned": {"mask": ["age"]}},
    )
    log.metadata.create_all(connection)
    log.install(connection)
    when = run(connection, "INSERT INTO people VALUES (1, 30, '***')")
    people.info["versioned"] = {}
    row = connection.execute(select(log.as_of(people, when))).one()
    assert (row.age, row.motto, row.audit_notes) == (None, "***", ['"age" is masked'])


def test_writes_that_were_kept_out(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben'), (3, 'Cid')")
    before = run(session, "DELETE FROM customers WHERE id = 3")
    with audit_log.disable(session):
        run(session, "UPDATE customers SET name = 'hidden'")
    after = run(session, "UPDATE customers SET name = 'Benno' WHERE id = 2")

    def said(key: int, when: dt.datetime) -> bool:
        loaded = audit_log.get_as_of(session, Customer, key, when)
        assert loaded is not None
        return any("bypassed the trail" in note for note in notes(loaded))

    assert [said(1, before), said(1, after), said(2, before), said(2, after)] == [False, True, False, False]
    rows = audit_log.as_of(Customer, after)
    assert [len(each) for each in session.scalars(select(rows.c.audit_notes).order_by(rows.c.id))] == [1, 0]
    with pytest.warns(HistoryWarning, match="'customers' 3 was gone, and writes .* bypassed"):
        assert audit_log.get_as_of(session, Customer, 3, after) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert audit_log.get_as_of(session, Customer, 3, before) is None


def test_a_table_of_which_not_everything_is_recorded(connection: Connection) -> None:
    log = AuditLog(MetaData())
    table = Table(
        "things", log.metadata, Column("id", Integer, primary_key=True), info={"versioned": {"operations": ["insert"]}}
    )
    log.metadata.create_all(connection)
    log.install(connection)
    when = run(connection, "INSERT INTO things VALUES (1)", "DELETE FROM things")
    rows = log.as_of(table, when)
    assert connection.execute(select(rows)).one().audit_notes == ["of this table only insert is recorded"]


def test_a_truncated_partition_ends_its_own_rows(connection: Connection) -> None:
    log = AuditLog(MetaData())
    events = partitioned(log, connection)
    run(
        connection,
        "CREATE TABLE events_3 PARTITION OF events FOR VALUES IN (3, 4) PARTITION BY LIST (year)",
        *(f"CREATE TABLE events_3_{y} PARTITION OF events_3 FOR VALUES IN ({y})" for y in (3, 4)),
    )
    log.install(connection)
    whole = run(connection, "INSERT INTO events VALUES (1, 1), (1, 2), (1, 3), (1, 4)")
    one = run(connection, "TRUNCATE events_1")
    subtree = run(connection, "TRUNCATE events_3")
    dropped = run(connection, "INSERT INTO events VALUES (2, 3)", "TRUNCATE events_2", "DROP TABLE events_2")
    everything = run(connection, "TRUNCATE events")

    def years(when: dt.datetime) -> list[int]:
        rows = log.as_of(events, when)
        return list(connection.scalars(select(rows.c.year).order_by(rows.c.year)))

    assert [years(when) for when in (whole, one, subtree, dropped, everything)] == [
        [1, 2, 3, 4],
        [2, 3, 4],
        [2],
        [3],
        [],
    ]


def test_a_table_that_was_renamed_or_dropped(session: Session) -> None:
    run(session, "ALTER TABLE customers RENAME TO clients", "INSERT INTO clients VALUES (1, 'Ann'), (2, 'Ben')")
    before = run(session, "DELETE FROM clients WHERE id = 2")
    run(session, "ALTER TABLE clients RENAME TO customers", "UPDATE customers SET name = 'Anna'")
    assert names(session, before) == ["Ann"]
    after = now(session)
    run(session, "DROP TABLE customers CASCADE")
    assert names(session, after) == ["Anna"]


def test_the_difference_between_two_instants(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')")
    first = run(session, "INSERT INTO orders VALUES (1, 1, 10.5, 'OPEN')")
    second = run(session, "UPDATE orders SET state = 'PAID'", "UPDATE orders SET at = '2026-01-01 00:00+00'")
    third = run(session, "DELETE FROM orders")
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    assert audit_log.diff(session, Order, 1, first, second) == {
        "state": (State.OPEN, State.PAID),
        "at": (None, moment),
    }
    assert audit_log.diff(session, Order, 1, second, third) == {
        "id": (1, None),
        "customer_id": (1, None),
        "total": (Decimal("10.5"), None),
        "state": (State.PAID, None),
        "at": (moment, None),
    }
    assert audit_log.diff(session, Order, 1, second, second) == {}


def test_activities_as_objects(session: Session) -> None:
    run(session, "INSERT INTO customers VALUES (1, 'Ann')", "UPDATE customers SET name = 'Anna', code = 'A'")
    run(session, "DELETE FROM customers", "TRUNCATE customers CASCADE")
    truncate, delete, update, insert = session.scalars(audit_log.activities(table=Customer))
    assert insert.before is None
    assert (insert.after.name, update.before.name, update.after.name, update.after.code) == ("Ann", "Ann", "Anna", "A")
    assert (delete.before.name, delete.after) == ("Anna", None)
    assert (truncate.before, truncate.after, truncate.changes) == (None, None, {})
    assert update.changes == {"name": ("Ann", "Anna"), "code": (None, "A")}
    assert delete.changes == {"id": (1, None), "name": ("Anna", None), "code": ("A", None)}
    assert inspect(update.after).transient
    assert update.after not in session


def test_an_old_row_can_break_the_rules_of_its_model(session: Session) -> None:
    """Neither constructors nor validators run, as when an object is loaded."""
    when = run(session, "INSERT INTO customers VALUES (1, '')")
    loaded = audit_log.get_as_of(session, Customer, 1, when)
    assert loaded is not None
    assert loaded.name == ""
    (activity,) = session.scalars(audit_log.history(Customer, 1))
    assert activity.after.name == ""


def test_an_old_object_can_be_merged_back(session: Session) -> None:
    run(session, "INSERT INTO people VALUES (1, 'Ann', 'red', '123', 30)")
    when = run(session, "UPDATE people SET name = 'Anna', hair = 'blue'")
    run(session, "UPDATE people SET name = 'wrong'")
    update = session.scalars(audit_log.history(Person, 1).where(audit_log.activity_cls.issued_at <= when)).first()
    assert update is not None
    session.merge(update.after)
    session.flush()
    # What the trail does not know stays as it is.
    assert session.execute(text("SELECT name, hair, ssn, age FROM people")).one() == ("Anna", "blue", "123", 30)


def test_an_activity_without_a_model(session: Session) -> None:
    run(session, "ALTER TABLE customers RENAME TO clients", "INSERT INTO clients VALUES (1, 'Ann')")
    (activity,) = session.scalars(audit_log.activities(table="clients"))
    assert activity.changes == {"id": (None, 1), "name": (None, "Ann"), "code": (None, None)}
    with pytest.raises(HistoryError, match="No model is mapped to table 'clients' of schema 'public'"):
        _ = activity.after


def test_one_row_by_its_key(session: Session) -> None:
    first = run(session, "INSERT INTO customers VALUES (1, 'Ann'), (2, 'Ben')")
    second = run(session, "UPDATE customers SET id = 3, name = 'Anna' WHERE id = 1")
    for when, key, found in ((first, 1, ["Ann"]), (second, 1, []), (second, 3, ["Anna"]), (second, 2, ["Ben"])):
        rows = audit_log.as_of(Customer, when, key=key)
        assert list(session.scalars(select(rows.c.name))) == found
    (customer,) = session.scalars(select(audit_log.as_of(Customer, first, key=1).objects))
    assert customer.name == "Ann"
    rows = audit_log.as_of(Customer, LONG_AGO, key=1)
    with pytest.raises(DataError, match="the history of customers begins at"):
        session.execute(select(rows)).all()


def test_one_row_is_found_by_an_index(session: Session) -> None:
    when = run(session, "INSERT INTO customers SELECT g, 'name' FROM generate_series(1, 2000) AS g", "ANALYZE")
    query = select(audit_log.as_of(Customer, when, key=77))
    read = "SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname LIKE 'activity%'"
    before = session.scalar(text(read))
    assert len(session.execute(query).all()) == 1
    assert session.scalar(text(read)) - before < 500


def test_rows_that_are_only_counted_are_not_read(session: Session) -> None:
    """Each activity is read once, for its key, and no row is put together."""
    run(session, "INSERT INTO customers SELECT g, 'name' FROM generate_series(1, 3000) AS g")
    run(session, "DELETE FROM customers WHERE id <= 1000", "TRUNCATE orders, lines CASCADE", "ANALYZE")
    when = run(session, "UPDATE customers SET name = 'changed'")
    rows = audit_log.as_of(Customer, when)
    counted = select(func.count()).select_from(rows)
    read = text(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_xact_user_tables "
        "WHERE relname LIKE 'activity%'"
    )
    before = session.scalar(read)
    assert session.scalar(counted) == 2000
    taken = session.scalar(read) - before
    plan = list(session.scalars(Explain(counted)))
    assert any("jsonb_to_record" in line for line in session.scalars(Explain(select(rows))))
    version = session.connection().dialect.server_version_info
    assert version is not None
    if version >= (16,):
        assert taken < 6500
        assert not any("jsonb_to_record" in line for line in plan)
    else:
        # There PostgreSQL does not know that a key of a partitioned table is unique, and looks each row up.
        assert 8000 <= taken < 8500
