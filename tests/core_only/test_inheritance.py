"""A model is read as a whole, and apart from its siblings, however its classes share tables."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from audit_core import AuditLog, HistoryError, notes
from sqlalchemy import Engine, ForeignKey, inspect, select, text
from sqlalchemy.exc import DataError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column

from tests.core_only.shop import now

RECORDED: Any = ({"info": {"versioned": {}}},)


class Base(DeclarativeBase):
    pass


class Vehicle(Base):
    """Its subclasses have tables of their own."""

    __tablename__ = "vehicles"
    __table_args__ = RECORDED
    __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]


class Van(Vehicle):
    __tablename__ = "vans"
    __table_args__ = RECORDED
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "van"}

    # Called and mapped otherwise than the key above; and a name that is taken there.
    van_id: Mapped[int] = mapped_column(ForeignKey(Vehicle.id, onupdate="CASCADE"), primary_key=True)
    payload: Mapped[int]
    van_name: Mapped[str | None] = mapped_column("name")


class Camper(Van):
    """Shares the table of its parent."""

    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "camper"}


class Bus(Vehicle):
    """Is recorded in part."""

    __tablename__ = "buses"
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "bus"}

    id: Mapped[int] = mapped_column(ForeignKey(Vehicle.id), primary_key=True)
    seats: Mapped[int]


class Pet(Base):
    """Its subclasses share its table."""

    __tablename__ = "pets"
    __table_args__ = RECORDED
    __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "pet"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]


class Dog(Pet):
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "dog"}


class Puppy(Dog):
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "puppy"}


class Cat(Pet):
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "cat"}


class Hidden(Base):
    __tablename__ = "hidden"
    __table_args__: Any = ({"info": {"versioned": {"exclude": ["kind"]}}},)
    __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "hidden"}

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]


class Ghost(Hidden):
    __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "ghost"}


log = AuditLog(Base)
Activity = log.activity_cls


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        log.install(connection)
    log.attach(engine)
    with Session(engine) as session:
        yield session
    log.detach(engine)


def commit(session: Session, *objects: Any) -> dt.datetime:
    session.add_all(objects)
    session.commit()
    when = now(session)
    session.rollback()
    return when


def run(session: Session, *statements: str) -> dt.datetime:
    for statement in statements:
        session.execute(text(statement))
    return commit(session)


def seen(obj: Any) -> dict[str, Any]:
    """What an object of the past holds, without asking the database."""
    assert inspect(obj).transient
    return {name: value for name, value in vars(obj).items() if not name.startswith("_")}


VAN = {"id": 1, "kind": "van", "name": "Vic", "van_id": 1, "payload": 9, "van_name": "V"}


@pytest.fixture
def when(session: Session) -> dt.datetime:
    """A time before everything was changed."""
    when = commit(
        session,
        Van(id=1, name="Vic", payload=9, van_name="V"),
        Vehicle(id=2, name="Bo"),
        Camper(id=3, name="Cy", payload=1),
    )
    run(session, "UPDATE vehicles SET name = 'new'", "UPDATE vans SET payload = 0, name = NULL")
    return when


def test_objects_of_a_base_class_are_whole(session: Session, when: dt.datetime) -> None:
    rows = log.as_of(Vehicle, when)
    found = session.scalars(select(rows.objects).order_by(rows.c.id)).all()
    assert [type(each) for each in found] == [Van, Vehicle, Camper]
    assert seen(found[0]) == VAN
    assert seen(found[1]) == {"id": 2, "kind": "vehicle", "name": "Bo"}
    other = {"id": 3, "kind": "camper", "name": "Cy", "van_id": 3, "payload": 1, "van_name": None}
    assert seen(found[2]) == other
    assert [notes(each) for each in found] == [(), (), ()]
    one = log.get_as_of(session, Vehicle, 1, when)
    assert one is not None
    assert seen(one) == VAN


def test_objects_of_a_subclass_are_whole(session: Session, when: dt.datetime) -> None:
    rows = log.as_of(Van, when)
    assert [seen(each) for each in session.scalars(select(rows.objects).where(rows.c.payload > 5))] == [VAN]
    # Its own columns have their names, those above that would be called the same have the table's name before them.
    query = select(rows.c.van_id, rows.c.name, rows.c.vehicles_name).where(rows.c.payload > 5)
    assert session.execute(query).all() == [(1, "V", "Vic")]
    one = log.get_as_of(session, Van, 1, when)
    assert one is not None
    assert seen(one) == VAN
    assert log.get_as_of(session, Camper, 1, when) is None
    campers = log.as_of(Camper, when)
    assert [each.id for each in session.scalars(select(campers.objects))] == [3]
    old = aliased(Van, rows)
    assert session.execute(select(old.payload, old.name).where(old.id == 1)).one() == (9, "Vic")


def test_differences_are_those_of_all_tables(session: Session, when: dt.datetime) -> None:
    assert log.diff(session, Van, 1, when, now(session)) == {
        "payload": (9, 0),
        "name": ("V", None),
        "vehicles_name": ("Vic", "new"),
    }
    assert set(log.diff(session, Vehicle, 1, when, now(session))) == {"payload", "name", "vans_name"}


def test_history_is_that_of_all_tables(session: Session, when: dt.datetime) -> None:
    van = session.get_one(Van, 1)
    changes = [(each.verb, each.table_name) for each in session.scalars(log.history(van))]
    assert changes == [("update", "vans"), ("update", "vehicles"), ("insert", "vans"), ("insert", "vehicles")]
    assert [(each.verb, each.table_name) for each in session.scalars(log.history(Vehicle, 1))] == changes
    assert session.scalars(log.history(Camper, 1)).all() == []
    assert len(session.scalars(log.history(Van, 3, related=True)).all()) == 4


def test_activities_of_a_subclass_are_not_those_of_its_siblings(session: Session, when: dt.datetime) -> None:
    def found(model: Any) -> set[tuple[str, str]]:
        query = log.activities(table=model, verb="update")
        return {(each.table_name, str(each.row_key)) for each in session.scalars(query)}

    assert found(Vehicle) == {("vehicles", "1"), ("vehicles", "2"), ("vehicles", "3")}
    assert found(Van) == {("vehicles", "1"), ("vehicles", "3"), ("vans", "1"), ("vans", "3")}
    assert found(Camper) == {("vehicles", "3"), ("vans", "3")}


def test_an_activity_of_one_table_says_what_it_does_not_know(session: Session, when: dt.datetime) -> None:
    inserted = session.scalars(log.activities(verb="insert", table=Van).order_by(None).order_by(Activity.id)).first()
    assert inserted is not None
    assert seen(inserted.after) == {"id": 1, "kind": "van", "name": "Vic"}
    assert notes(inserted.after) == tuple(
        f'"{name}" is in table "vans", of which this says nothing' for name in ("van_id", "payload", "name")
    )


def test_a_subclass_that_is_not_recorded_leaves_a_note(session: Session) -> None:
    when = commit(session, Bus(id=1, name="Bea", seats=50))
    (bus,) = session.scalars(select(log.as_of(Vehicle, when).objects))
    assert isinstance(bus, Bus)
    assert seen(bus) == {"id": 1, "kind": "bus", "name": "Bea"}
    assert notes(bus) == ('"seats" is in table "buses", of which this says nothing',)
    with pytest.raises(HistoryError, match="Table 'buses' is not audited"):
        log.as_of(Bus, when)


def test_a_row_that_is_missing_in_one_table_leaves_a_note(session: Session) -> None:
    run(session, "INSERT INTO vehicles VALUES (1, 'van', 'Vic'), (2, 'vehicle', 'Bo')")
    session.execute(text("SET session_replication_role = replica"))
    session.execute(text("INSERT INTO vans VALUES (1, 9, 'V')"))
    session.execute(text("INSERT INTO vehicles VALUES (3, 'van', 'Wim')"))
    session.execute(text("RESET session_replication_role"))
    when = run(session, "INSERT INTO vans VALUES (3, 1, 'W')")
    rows = log.as_of(Vehicle, when)
    found = {each.id: notes(each) for each in session.scalars(select(rows.objects))}
    assert found == {1: ('nothing is known of its row in table "vans"',), 2: ()}
    (van,) = session.execute(select(log.as_of(Van, when))).mappings()
    assert (van["van_id"], van["payload"], van["kind"]) == (3, 1, None)
    assert van["audit_notes"] == ['nothing is known of its row in table "vehicles"']


def test_a_time_before_one_of_the_tables_was_recorded_is_refused(session: Session) -> None:
    start = now(session) - dt.timedelta(days=1)
    commit(session, Van(id=1, name="Vic", payload=9))
    with pytest.raises(DataError, match="history of vans begins at"):
        session.execute(select(log.as_of(Van, start)))


def test_an_object_in_several_tables_comes_back_whole(session: Session, when: dt.datetime) -> None:
    log.restore(session, Van, 1, when)
    session.commit()
    assert (session.get_one(Van, 1).name, session.get_one(Van, 1).payload) == ("Vic", 9)
    session.delete(session.get_one(Van, 1))
    session.commit()
    log.restore(session, Van, 1, when)
    session.commit()
    van = session.get_one(Van, 1)
    assert (van.name, van.payload, van.van_name) == ("Vic", 9, "V")
    with pytest.raises(HistoryError, match="was gone at"):
        log.restore(session, Camper, 1, when)


def test_classes_that_share_a_table_are_told_apart(session: Session) -> None:
    when = commit(session, Pet(id=1, name="a"), Dog(id=2, name="b"), Puppy(id=3, name="c"), Cat(id=4, name="d"))
    run(session, "UPDATE pets SET name = 'new'", "UPDATE pets SET kind = 'dog' WHERE id = 4", "TRUNCATE pets")

    def found(model: Any) -> list[tuple[str, str | None]]:
        return [(each.verb, each.row_key) for each in session.scalars(log.activities(table=model).order_by(None))]

    assert len(found(Pet)) == 10
    assert sorted(found(Dog), key=str) == [
        ("insert", "2"),
        ("insert", "3"),
        ("truncate", None),
        ("update", "2"),
        ("update", "3"),
        ("update", "4"),
    ]
    assert sorted(found(Puppy), key=str) == [("insert", "3"), ("truncate", None), ("update", "3")]
    assert sorted(session.scalars(select(log.as_of(Dog, when).c.id))) == [2, 3]
    assert [each.verb for each in session.scalars(log.history(Dog, 2))] == ["update", "insert"]
    assert session.scalars(log.history(Dog, 1)).all() == []
    # It has become one.
    assert len(session.scalars(log.history(Dog, 4)).all()) == 3
    assert session.scalars(log.history(Puppy, 4)).all() == []
    with pytest.raises(HistoryError, match="was gone"):
        log.restore(session, Dog, 1, when)


def test_what_tells_classes_apart_has_to_be_recorded(session: Session) -> None:
    when = commit(session, Ghost(id=1))
    for ask in (lambda: log.as_of(Ghost, when), lambda: log.activities(table=Ghost)):
        with pytest.raises(HistoryError, match=r"'hidden.kind' tells 'Ghost' from .* Ghost.__table__"):
            ask()
    assert len(session.scalars(log.history(Ghost, 1)).all()) == 1
