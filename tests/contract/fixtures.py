"""Fixtures of the contract; a configuration's conftest.py adds ``subject`` and ``setup``."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.contract.migrations import MODELS
from tests.contract.setups import MigratedProject, Setup
from tests.contract.subject import Subject, Trail


@pytest.fixture
def trail(subject: Subject) -> Trail:
    """What is recorded from now on."""
    return Trail(subject)


@dataclass
class Prepared:
    """What the tests of one file begin with; they work on copies."""

    #: A folder with an empty set of migrations, and its database.
    empty: MigratedProject
    #: The same with MODELS migrated.
    installed: MigratedProject


@pytest.fixture(scope="module")
def prepared(
    setup: Setup,
    new_database: Callable[..., AbstractContextManager[URL]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Prepared]:
    with new_database() as url:
        empty = MigratedProject(tmp_path_factory.mktemp("empty"), url, setup)
        setup.initialize(empty)
        with new_database(template=url) as copied_url:
            installed = _copy(empty, tmp_path_factory.mktemp("installed") / "project", copied_url)
            installed.write_app(MODELS)
            installed.must_migrate()
            yield Prepared(empty, installed)


@pytest.fixture
def project(
    prepared: Prepared, new_database: Callable[..., AbstractContextManager[URL]], tmp_path: Path
) -> Iterator[MigratedProject]:
    """An application without models and migrations."""
    with new_database(template=prepared.empty.url) as url:
        yield _copy(prepared.empty, tmp_path / "project", url)


@pytest.fixture
def installed(
    prepared: Prepared, new_database: Callable[..., AbstractContextManager[URL]], tmp_path: Path
) -> Iterator[MigratedProject]:
    """An application whose models are migrated."""
    with new_database(template=prepared.installed.url) as url:
        yield _copy(prepared.installed, tmp_path / "installed", url)


def _copy(project: MigratedProject, directory: Path, url: URL) -> MigratedProject:
    shutil.copytree(project.directory, directory)
    copy = MigratedProject(directory, url, project.setup)
    copy.start = project.start
    return copy
