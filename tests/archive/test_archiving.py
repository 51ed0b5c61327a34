"""What is old goes to the archive, complete, and once."""

from __future__ import annotations

from sqlalchemy.orm import Session

from tests.archive.trail import Item, Trail, said


def test_old_partitions_are_archived_and_marked(trail: Trail) -> None:
    trail.three_years()
    before = trail.recorded()
    first, second = trail.archive()
    assert [first.partition, second.partition] == ["activity_p0001", "activity_p0002"]
    assert (first.rows, first.transactions, first.is_dropped) == (3, 2, False)
    assert trail.names() == ["activity_p0001", "activity_p0002", "activity_p0003", "activity_open"]
    with trail.engine.connect() as connection:
        assert [each.archived_at is None for each in trail.log.partitions(connection)] == [False, False, True, True]
        assert trail.log.check(connection) == []
    assert [(each["partition"], each["rows"]) for each in trail.operations("archive")] == [
        ("activity_p0001", 3),
        ("activity_p0002", 3),
    ]
    assert trail.archive() == []
    assert trail.recorded() == before


def test_dropped_partitions_are_read_from_the_archive(trail: Trail) -> None:
    trail.three_years()
    with Session(trail.engine) as session:
        history = said(session.scalars(trail.log.history(Item, 1)))
        moved = said(session.scalars(trail.log.history(Item, 20)))
        everything = said(session.scalars(trail.log.activities()))
    dropped = trail.archive(drop=True)
    assert [each.is_dropped for each in dropped] == [True, True]
    assert trail.names() == ["activity_p0003", "activity_open"]
    with trail.log.archived(trail.engine) as archived:
        assert said(archived.history(Item, 1)) == history
        assert len(history) == 3
        assert said(archived.history(Item, 20)) == moved
        assert len(moved) == 3
        assert [each for each in said(archived.activities()) if each[0] in {row[0] for row in everything}] == everything
