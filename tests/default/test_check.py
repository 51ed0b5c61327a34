"""``flask audit check`` says whether everything is recorded as it should be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests.contract.migrations import USER, model
from tests.contract.project import CommandError
from tests.contract.setups import FlaskSetup, MigratedProject, Setup


@pytest.fixture(scope="module")
def setup() -> Setup:
    return FlaskSetup()


def test_nothing_is_wrong_after_the_migrations(installed: MigratedProject) -> None:
    printed = installed.run("flask", "--app", "app", "audit", "check")
    assert "Everything is recorded as it should be." in printed


def test_what_is_wrong_is_listed_and_the_exit_code_is_1(installed: MigratedProject) -> None:
    installed.execute("ALTER TABLE articles DISABLE TRIGGER audit_logger_update; GRANT DELETE ON activity TO PUBLIC")
    with pytest.raises(CommandError) as failure:
        installed.run("flask", "--app", "app", "audit", "check")
    assert "altered audit triggers on table 'articles'" in str(failure.value)
    assert "PUBLIC may delete in public.activity" in str(failure.value)


def test_an_audited_table_without_a_logger_is_listed(
    project: MigratedProject, new_database: Callable[..., AbstractContextManager[URL]], tmp_path: Path
) -> None:
    project.write_app(USER + model("Article", "title: Mapped[str]", versioned={}))
    app = project.directory / "app.py"
    app.write_text(app.read_text().replace("audit_logger = AuditLogger(db, )", ""))
    with pytest.raises(CommandError, match="Table 'articles' is declared 'versioned'"):
        project.run("flask", "--app", "app", "audit", "check")
