"""The real ``flask db`` commands, each in a process of its own."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from examples.errors import DemoError

ROOT = Path(__file__).resolve().parents[3]
#: Keeps the directory of the demo out of git, and tells that what is in it may be replaced.
MARKER = ".gitignore"
MARK = "# Made by the demo, which replaces the migrations at each run.\n*\n"
#: What a person wants to know of the log of Alembic.
MESSAGES = re.compile(
    r"^(?:INFO +\[alembic\.[\w.]+\] +)?((?:Detected (?!sequence)|Running |No new upgrade ).*)$", re.MULTILINE
)


def prepare(directory: Path) -> Path:
    """Make the directory of the demo and return the full path for the migrations in it, which does not exist.

    :raises DemoError: if the directory holds something that the demo did not make.
    """
    marker = directory / MARKER
    if directory.exists() and any(directory.iterdir()) and not (marker.exists() and marker.read_text() == MARK):
        raise DemoError(f"{directory} holds something else. Give an empty directory with --directory.")
    directory.mkdir(parents=True, exist_ok=True)
    marker.write_text(MARK)
    migrations = directory.resolve() / "migrations"
    shutil.rmtree(migrations, ignore_errors=True)
    return migrations


def flask_db(arguments: list[str], migrations: Path, database_url: str) -> list[str]:
    """Run ``flask db`` and return what Alembic said about the tables.

    :raises DemoError: with all that it printed, if it fails.
    """
    command = ["--app", "examples.flask.country_register", "db", *arguments, "--directory", str(migrations)]
    done = subprocess.run(
        [sys.executable, "-m", "flask", *command],
        cwd=ROOT,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("FLASK_")},
            "FLASK_SQLALCHEMY_DATABASE_URI": database_url,
            "PYTHONPATH": str(ROOT),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise DemoError(f"flask db {arguments[0]} failed with exit code {done.returncode}:\n{done.stdout}")
    return MESSAGES.findall(done.stdout)


def outline(migrations: Path) -> tuple[Path, str]:
    """Return the migration, and what its ``upgrade()`` says about the audit trail and the tables."""
    (path,) = (migrations / "versions").glob("*.py")
    source = path.read_text()
    (upgrade,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    )
    lines = []
    for statement in upgrade.body:
        text = ast.get_source_segment(source, statement) or ""
        if text.startswith("op.create_table("):
            text = f"{text.splitlines()[0]} ...)"
        elif "audit" not in text:
            text = "..."
        lines.append(text)
    return path, "\n".join(lines)
