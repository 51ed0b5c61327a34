from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType

import pytest
from sqlalchemy import URL

from tests.contract.fixtures import trail
from tests.contract.flask_app import flask_subject
from tests.contract.subject import Subject
from tests.two_apps import first, second, shared

__all__ = ["trail"]

#: The first two have each their own models; the last two are apps with the same models.
APPS: dict[str, ModuleType] = {"first": first, "second": second, "shared one": shared, "shared two": shared}


@pytest.fixture(scope="module")
def subjects(
    new_database: Callable[..., AbstractContextManager[URL]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Subject]]:
    """All apps, at once in this process."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                contextmanager(flask_subject)(
                    module, stack.enter_context(new_database()), tmp_path_factory.mktemp("project")
                )
            )
            for name, module in APPS.items()
        }


@pytest.fixture(scope="module", params=APPS)
def subject(subjects: dict[str, Subject], request: pytest.FixtureRequest) -> Subject:
    return subjects[request.param]
