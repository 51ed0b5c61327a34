from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import URL

from tests.contract.fixtures import trail
from tests.contract.flask_app import flask_subject
from tests.contract.subject import Subject
from tests.multi_bind import app

__all__ = ["trail"]


@pytest.fixture(scope="module")
def subject(
    module_database: URL,
    new_database: Callable[..., AbstractContextManager[URL]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Subject]:
    with new_database() as reports, new_database() as plain, pytest.MonkeyPatch.context() as environment:
        environment.setenv("REPORTS_URL", reports.render_as_string(hide_password=False))
        environment.setenv("PLAIN_URL", plain.render_as_string(hide_password=False))
        yield from flask_subject(app, module_database, tmp_path_factory.mktemp("project"), init=("--multidb",))
