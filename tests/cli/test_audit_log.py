"""``audit-log``: every command as a program of its own, and what its options may be."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from tests.cli.conftest import ROOT, Shop, printed, program
from tests.cli.shop import Customer
from tests.contract.project import Project


@pytest.fixture
def given(own_shop: Shop) -> Shop:
    own_shop.write(Customer(id=1, name="Eva"))
    own_shop.change(Customer, 1, name="Eve")
    return own_shop


def test_audit_log_runs_every_command(given: Shop, tmp_path: Path) -> None:
    project = Project(tmp_path, given.url)

    def run(*arguments: str) -> str:
        return printed(project.process("audit_core.cli", *given.given, *arguments))

    assert "Eva → Eve" in run("history", "customers", "1")
    assert "Eva → Eve" in run("log", "--verb", "update")
    assert "Eva → Eve" in run("show", "2")
    assert "Eve" in project.process("audit_core.cli", *given.given, "as-of", "customers", "1", given.shown_at()).stdout
    assert json.loads(run("stats", "--json"))["by_table"]
    assert "update  customers  1" in run("undo", "2", "--dry-run")
    assert len(run("export", "--format", "jsonl").splitlines()) == 2
    begun = json.loads(run("coverage", "customers", "--json"))["coverage"]
    assert [(each["event"], each["table_name"], each["row_count"]) for each in begun] == [("begin", "customers", 0)]
    assert "begin  " in run("coverage")
    assert run("check") == "Everything is recorded as it should be.\n"
    assert "Transaction 2 is undone by transaction" in run("undo", "2", "--yes")


@pytest.mark.parametrize("command", [["log"], ["export"]])
def test_help_needs_neither_app_nor_database(command: list[str]) -> None:
    for entry in (["audit_core.cli"], ["flask", "--app", "nix", "audit"]):
        assert "--since" in printed(program(*entry, *command, "--help"))


def test_help_says_what_exit_codes_and_times_mean() -> None:
    assert "2  wrong usage" in printed(program("audit_core.cli", "--help"))
    assert "in the time zone of this machine" in printed(program("audit_core.cli", "log", "--help"))


def test_variables_name_the_trail_and_modules_are_found_in_the_current_directory(given: Shop, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("from tests.cli.shop import Base\n")
    done = subprocess.run(
        ["audit-log", "log", "--limit", "1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            "PATH": str(Path(sys.executable).parent),
            "PYTHONPATH": str(ROOT),
            "AUDIT_LOG_URL": given.given[1],
            "AUDIT_LOG_METADATA": "models:Base",
        },
    )
    assert "Eva → Eve" in printed(done)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--metadata": "nix:Base"}, "Module 'nix' cannot be imported: No module named 'nix'."),
        ({"--metadata": "tests.cli.shop:Nix"}, "There is no 'Nix' in module 'tests.cli.shop'."),
        ({"--metadata": "tests.cli.shop"}, "--metadata is 'tests.cli.shop'; write MODULE:NAME, such as models:Base."),
        ({"--metadata": "os:path"}, "'os:path' has no MetaData; name a declarative base,"),
        (
            {"--metadata": "tests.cli.shop:without_log"},
            "The MetaData of 'tests.cli.shop:without_log' has no AuditLog.",
        ),
        ({"--metadata": None}, "Whose trail? Give --metadata MODULE:NAME, or set AUDIT_LOG_METADATA."),
        ({"--url": None}, "Which database? Give --url, or set AUDIT_LOG_URL."),
        ({"--url": "user:secret@host"}, "--url cannot be read; write it as"),
        ({"--url": "nix://host/x"}, "--url "),
        ({"--url": "sqlite://"}, "The audit trail needs PostgreSQL 14 or later"),
        ({"--url": "postgresql+psycopg://127.0.0.1:1/x"}, "The database does not answer: connection failed: "),
    ],
)
def test_audit_log_says_what_is_wrong_with_its_options(
    shared_shop: Shop, options: dict[str, str | None], message: str
) -> None:
    names = dict(zip(shared_shop.given[::2], shared_shop.given[1::2], strict=True)) | options
    shop = GivenShop(shared_shop.url, shared_shop.engine)
    shop.options = [part for name, value in names.items() if value is not None for part in (name, value)]
    said = shop.mistake("log")
    assert said.startswith(f"Error: {message}")
    assert "secret" not in said


class GivenShop(Shop):
    """A shop whose command line gets options of its own."""

    options: list[str]

    @property
    def given(self) -> list[str]:
        return self.options


def test_a_database_without_a_trail_is_a_mistake_and_a_problem(database: URL) -> None:
    shop = Shop(database, None)  # type: ignore[arg-type]
    assert shop.mistake("log") == (
        f"Error: Database {database.database!r} has no trail: there is no table 'activity' in schema 'public'. Run the "
        "migrations, or install()."
    )
    problems: list[dict[str, Any]] = shop.object("check", code=1)["problems"]
    assert problems
    assert all(set(each) == {"table", "message"} for each in problems)
    assert len(shop.run("check", code=1).stdout.splitlines()) == len(problems)
