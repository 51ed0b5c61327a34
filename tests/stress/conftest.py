from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, create_engine

from tests.stress.app import audit_log, install

pytest.register_assert_rewrite("tests.stress.machine", "tests.stress.tangler")


@pytest.fixture
def audited(database: URL) -> Iterator[Engine]:
    """An engine on a fresh database with the tables and the trail."""
    install(database)
    engine = create_engine(database)
    audit_log.attach(engine)
    yield engine
    audit_log.detach(engine)
    engine.dispose()
