"""A folder with migrations, and the real commands that work on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sqlalchemy import URL

ROOT = Path(__file__).parents[2]


class CommandError(Exception):
    """A command ended with an error; the text is what it printed."""


class Project:
    """A folder of an application under test.

    :param app: what ``flask --app`` takes.
    """

    def __init__(self, directory: Path, url: URL, app: str = "app:create_app") -> None:
        self.directory = directory
        self.url = url
        self.app = app
        self.environment: dict[str, str] = {}

    def flask(self, *arguments: str) -> str:
        """Run a ``flask`` command and return all that it prints."""
        return self.run("flask", "--app", self.app, *arguments)

    def alembic(self, *arguments: str) -> str:
        """Run an ``alembic`` command and return all that it prints."""
        return self.run("alembic", *arguments)

    def run(self, module: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.directory,
            env={
                **os.environ,
                "DATABASE_URL": self.url.render_as_string(hide_password=False),
                "PYTHONPATH": os.pathsep.join([str(self.directory), str(ROOT)]),
                **self.environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise CommandError(done.stdout)
        return done.stdout

    def versions(self) -> list[Path]:
        return sorted(self.directory.glob("*/versions/*.py"), key=lambda path: path.stat().st_mtime_ns)

    def last_migration(self) -> str:
        return self.versions()[-1].read_text()
