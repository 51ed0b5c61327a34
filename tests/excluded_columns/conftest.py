from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import URL

from tests.contract.fixtures import installed, prepared, project, trail
from tests.contract.flask_app import flask_subject
from tests.contract.setups import FlaskSetup, Setup
from tests.contract.subject import Subject
from tests.excluded_columns import app

__all__ = ["installed", "prepared", "project", "trail"]


@pytest.fixture(scope="module")
def subject(module_database: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    yield from flask_subject(app, module_database, tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def setup() -> Setup:
    return FlaskSetup(include_schemas=True)
