from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import Session

from tests.alembic_only import app
from tests.contract.fixtures import installed, prepared, project, trail
from tests.contract.project import Project
from tests.contract.setups import AlembicSetup, Setup, write_env_py
from tests.contract.subject import Subject

__all__ = ["installed", "prepared", "project", "trail"]

METADATA = """\
import audit_alembic
from tests.alembic_only.app import Base
target_metadata = Base.metadata
"""


@pytest.fixture(scope="module")
def subject(module_database: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    project = Project(tmp_path_factory.mktemp("project"), module_database)
    project.alembic("init", "migrations")
    write_env_py(project.directory, METADATA)
    project.alembic("revision", "--autogenerate", "-m", "first")
    project.alembic("upgrade", "head")
    assert "No new upgrade operations detected" in project.alembic("check")
    engine = create_engine(module_database)
    app.audit_log.attach(engine)
    yield Subject(app.audit_log, engine, app.Article, app.User, lambda: Session(engine), None)
    app.audit_log.detach(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def setup() -> Setup:
    return AlembicSetup(audit_schema="Audit Logs")
