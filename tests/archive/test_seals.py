"""What is in the archive only is verified by the seals as well."""

from __future__ import annotations

import shutil
from decimal import Decimal
from typing import Any

import pyarrow.parquet as pq
import pytest
from audit_core import HistoryError, SealFinding
from sqlalchemy import event
from sqlalchemy.orm import Session

from tests.archive.trail import YEAR, Item, Trail


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


def files_with(trail: Trail, *needles: str) -> list[str]:
    """Which files of the archive have a text, whatever they are: Parquet is read, and the others are searched."""
    found = []
    for path in trail.warehouse.rglob("*"):
        if path.is_file():
            is_table = path.suffix == ".parquet"
            content = repr(pq.read_table(path).to_pylist()) if is_table else path.read_bytes().decode("latin-1")
            found += [path.name for needle in needles if needle in content]
    return found


def test_what_is_erased_is_in_no_file_of_the_archive(trail: Trail) -> None:
    trail.add(Item(id=1, name="Katharina", price=Decimal(1)), phone="0551-4711", actor="katharina")
    trail.add(Item(id=2, name="Ben"))
    trail.close(YEAR)
    trail.change(Item, 1, name="Katharina B.")
    trail.close(YEAR)
    trail.change(Item, 1, price=Decimal(2))
    trail.close(YEAR)
    trail.change(Item, 1, price=Decimal(3))
    trail.log.seal(trail.engine)
    trail.archive(older_than="2y", drop=True)
    trail.archive(older_than="1d")  # one stays in the database as well
    given: Any = {"columns": ["name"], "reason": "request 7", "actor": "katharina"}
    with Session(trail.engine) as session, session.begin():
        trail.log.erase(session, Item, 1, **given)
    assert files_with(trail, "0551-4711")
    (name, *_) = files_with(trail, "Katharina")
    (file,) = trail.warehouse.rglob(name)
    # As a run leaves it that was killed before it committed.
    shutil.copy(file, file.with_name("left-over.parquet"))

    done = trail.log.erase_archived(trail.engine, Item, 1, **given)

    assert done.values == {("items", "name"): 2, ("transaction", "meta.phone"): 1}
    assert files_with(trail, "Katharina", "0551-4711") == []
    assert files_with(trail, "Ben")
    assert trail.names() == ["activity_p0003", "activity_open"]
    with trail.log.archived(trail.engine) as both:
        history = both.history(Item, 1)
        assert {tuple(each.erased) for each in history} == {("name",)}
        assert [each.row_before.get("price") for each in history] == [2, 1, 1, None]
    assert not [each for each in findings(trail, with_archive=True) if each.is_failure]


def test_an_erasure_of_the_archive_that_was_interrupted_is_finished_by_the_next(trail: Trail) -> None:
    trail.three_years()
    trail.archive(drop=True)

    class InterruptionError(Exception):
        pass

    def interrupt(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "audit_logger_erase" in statement:
            raise InterruptionError

    event.listen(trail.engine, "after_cursor_execute", interrupt)
    try:
        with pytest.raises(InterruptionError):
            trail.log.erase_archived(trail.engine, Item, 1, columns=["name"], reason="request 7")
    finally:
        event.remove(trail.engine, "after_cursor_execute", interrupt)
    assert files_with(trail, "uno")
    trail.log.erase_archived(trail.engine, Item, 1, columns=["name"], reason="request 7")
    assert not files_with(trail, "uno")


def test_what_is_held_is_erased_in_the_archive_neither(trail: Trail) -> None:
    trail.three_years()
    trail.archive(drop=True)
    with Session(trail.engine) as session, session.begin():
        trail.log.hold(session, "dispute 1", table=Item, key=1)
    before = trail.names()
    with pytest.raises(HistoryError, match="is held, so nothing was erased"):
        trail.log.erase_archived(trail.engine, Item, 1, columns=["name"], reason="request 7")
    assert files_with(trail, "uno")
    assert set(before) <= set(trail.names())
