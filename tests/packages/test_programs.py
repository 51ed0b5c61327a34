"""Programs that the tests need: found, installed, or missing for a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dev.programs import CannotInstallError, Program, debian_postgres
from tests.needs import path_of

PROGRAM = Program("Bouncer", "bouncer", ("audit-test-bouncer",), variable="AUDIT_TEST_BOUNCER")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are looked for."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def executable(path: Path, text: str = "") -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_program_is_found_in_the_path_or_where_a_variable_says(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PROGRAM.find() is None
    executable(path / "audit-test-bouncer")
    assert PROGRAM.find() == str(path / "audit-test-bouncer")
    monkeypatch.setenv("AUDIT_TEST_BOUNCER", str(path / "gone"))
    assert PROGRAM.find() is None


def test_it_is_installed_as_root_on_debian(path: Path) -> None:
    executable(
        path / "apt-get",
        f'echo "$RUNLEVEL $@" >> {path}/said\n'
        f'[ "$2" = update ] || {{ echo "#!/bin/sh" > {path}/audit-test-bouncer\n'
        f"/bin/chmod +x {path}/audit-test-bouncer; }}",
    )
    PROGRAM.install()
    assert (path / "said").read_text().splitlines() == [
        "1 -qq update",
        "1 -qq install --yes --no-install-recommends bouncer",
    ]


def test_the_reason_why_it_cannot_be_installed_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(path / "apt-get", "echo first; echo 'E: no bouncer'; exit 100")
    with pytest.raises(CannotInstallError, match=r"apt-get install bouncer.*\(`apt-get update` says: E: no bouncer\)$"):
        PROGRAM.install()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(CannotInstallError) as failure:
        debian_postgres("99").install()
    assert str(failure.value) == "PostgreSQL 99 is not installed: `apt-get install postgresql-99`"


def test_a_test_without_it_is_skipped_or_fails_where_everything_must_be_tried(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AUDIT_TEST_INSIST", raising=False)
    with pytest.raises(pytest.skip.Exception, match="Bouncer is not installed"):
        path_of(PROGRAM)
    monkeypatch.setenv("AUDIT_TEST_INSIST", "1")
    with pytest.raises(pytest.fail.Exception, match="Bouncer is not installed"):
        path_of(PROGRAM)
