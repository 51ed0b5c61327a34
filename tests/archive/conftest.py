"""A trail with partitions of several years, and an archive in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.pool import NullPool

from tests.archive.trail import Trail


@pytest.fixture
def trail(database: URL, tmp_path: Path) -> Iterator[Trail]:
    engine = create_engine(database, poolclass=NullPool)
    trail = Trail(engine, tmp_path / "warehouse")
    yield trail
    trail.log.detach(engine)
    engine.dispose()
