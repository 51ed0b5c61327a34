"""Whenever it is killed, nothing is lost, nothing is there twice, and the next run completes it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from tests.archive.trail import Trail, said

ROOT = Path(__file__).parents[2]

#: What is said of each partition, in this order, where it has one file of each table.
STEPS = (
    "begun",
    "file written",
    "transactions committed",
    "file written",
    "activities committed",
    "verified",
    "marked",
    "detached",
    "dropped",
)


@pytest.fixture(scope="module")
def template(new_database: Callable[..., AbstractContextManager[URL]]) -> Iterator[URL]:
    """A trail of three years, to be copied."""
    with new_database() as url:
        engine = create_engine(url, poolclass=NullPool)
        trail = Trail(engine, Path("unused"))
        trail.three_years()
        trail.log.detach(engine)
        engine.dispose()
        yield url


@pytest.mark.parametrize("place", range(len(STEPS) + 1))
def test_a_run_that_was_killed_is_completed_by_the_next(
    new_database: Callable[..., AbstractContextManager[URL]], template: URL, tmp_path: Path, place: int
) -> None:
    with new_database(template) as url:
        engine = create_engine(url, poolclass=NullPool)
        trail = Trail(engine, tmp_path / "warehouse")
        with Session(engine) as session:
            everything = said(session.scalars(trail.log.activities()))
        killed = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.archive.worker",
                url.render_as_string(hide_password=False),
                str(trail.warehouse),
                str(place),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert killed.returncode == -9, killed.stderr
        said_steps = [line.rpartition(" ")[0] for line in killed.stdout.splitlines()]
        assert said_steps == [*STEPS, *STEPS][: place + 1]
        assert timeline(trail, everything) == everything
        trail.archive(drop=True)
        assert trail.names() == ["activity_p0003", "activity_open"]
        assert timeline(trail, everything) == everything
        assert len(trail.operations("archive")) == 2
        assert len(trail.operations("drop")) == 2
        trail.log.unarchive(engine, "activity_p0001")
        trail.log.unarchive(engine, "activity_p0002")
        with Session(engine) as session:
            known = {row[0] for row in everything}
            found = [each for each in said(session.scalars(trail.log.activities())) if each[0] in known]
        assert found == everything
        trail.log.detach(engine)
        engine.dispose()


def timeline(trail: Trail, known: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """All that is in the database and in the archive, but for what the archiving itself left."""
    ids = {row[0] for row in known}
    with trail.log.archived(trail.engine) as archived:
        return [each for each in said(archived.activities()) if each[0] in ids]
