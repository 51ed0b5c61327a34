"""What is in the archive only is verified by the seals as well."""

from __future__ import annotations

from audit_core import SealFinding
from sqlalchemy.orm import Session

from tests.archive.trail import Item, Trail


def findings(trail: Trail, *, with_archive: bool) -> list[SealFinding]:
    with Session(trail.engine) as session:
        found = trail.log.verify_seals(session, archive=trail.engine if with_archive else None)
        return [each for each in found if each.kind != "unsealed"]


def test_archived_months_are_verified(trail: Trail) -> None:
    trail.three_years()
    trail.log.seal(trail.engine)
    trail.archive(drop=True)
    assert {(each.kind, each.is_failure) for each in findings(trail, with_archive=False)} == {("removed", False)}
    assert findings(trail, with_archive=True) == []


def test_what_was_altered_before_it_was_archived_is_found(trail: Trail) -> None:
    trail.three_years()
    trail.log.seal(trail.engine)
    with trail.engine.begin() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        connection.exec_driver_sql("UPDATE activity SET verb = 'snapshot' WHERE id = 1")
    trail.archive(drop=True)
    assert not [each for each in findings(trail, with_archive=False) if each.is_failure]
    failures = [each for each in findings(trail, with_archive=True) if each.is_failure]
    assert [(each.kind, each.of_table, each.id) for each in failures] == [("altered", "activity", 1)]


def test_what_comes_back_is_verified(trail: Trail) -> None:
    trail.three_years()
    trail.log.seal(trail.engine)
    trail.archive(drop=True)
    trail.log.unarchive(trail.engine, "activity_p0001")
    kinds = {each.kind for each in findings(trail, with_archive=False)}
    assert kinds == {"removed"}
    with Session(trail.engine) as session, session.begin():
        trail.log.erase(session, Item, 1, columns=["name"], reason="request 7")
    assert not [each for each in findings(trail, with_archive=True) if each.is_failure]
