"""Excluded columns are not recorded, and changes of them alone leave nothing."""

from __future__ import annotations

from sqlalchemy import update

from tests.contract.subject import Subject, Trail
from tests.excluded_columns.app import User


def test_excluded_columns_stand_in_neither_payload(subject: Subject, trail: Trail) -> None:
    with subject.session() as session:
        user = User(name="Ann", hair_color="red")
        session.add(user)
        session.commit()
        key = user.id
        user.name, user.hair_color = "Anna", "grey"
        session.commit()
        session.delete(user)
        session.commit()
    assert [(a.verb, a.old_data, a.changed_data) for a in trail.activities("users")] == [
        ("insert", {}, {"id": key, "name": "Ann"}),
        ("update", {"id": key, "name": "Ann"}, {"name": "Anna"}),
        ("delete", {"id": key, "name": "Anna"}, {}),
    ]


def test_an_update_of_excluded_columns_alone_records_nothing(subject: Subject, trail: Trail) -> None:
    with subject.session() as session:
        session.add(User(name="Ben", hair_color="red"))
        session.commit()
        before = trail.transaction_count()
        session.execute(update(User).values(hair_color="grey"))
        session.commit()
    assert [activity.verb for activity in trail.activities("users")] == ["insert"]
    assert trail.transaction_count() == before
