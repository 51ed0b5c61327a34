"""A folder with migrations, and the real commands that work on it."""

from __future__ import annotations

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
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
        #: Packages that the application imports itself, so that the commands may find them imported.
        self.imports: tuple[str, ...] = ()

    def flask(self, *arguments: str) -> str:
        """Run a ``flask`` command and return all that it prints."""
        return self.run("flask", "--app", self.app, *arguments)

    def alembic(self, *arguments: str) -> str:
        """Run an ``alembic`` command and return all that it prints."""
        return self.run("alembic", *arguments)

    def run(self, module: str, *arguments: str, stderr: bool = True) -> str:
        """Run ``python -m`` and return what it prints; ``stderr=False`` leaves its messages out."""
        done = self.process(module, *arguments)
        everything = done.stderr + done.stdout
        if done.returncode:
            raise CommandError(everything)
        return everything if stderr else done.stdout

    def process(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m`` and return how it ended and what it printed."""
        environment = {
            **os.environ,
            "DATABASE_URL": self.url.render_as_string(hide_password=False),
            "PYTHONPATH": os.pathsep.join([str(self.directory), str(ROOT)]),
            **self.environment,
        }
        with tempfile.TemporaryDirectory() as output:
            files = {name: Path(output) / name for name in ("stdout", "stderr")}
            request = {
                "module": module,
                "arguments": arguments,
                "directory": str(self.directory),
                "environment": environment,
                "files": {name: str(path) for name, path in files.items()},
            }
            code = _run(json.dumps(request), self.imports)
            printed = {name: path.read_text() for name, path in files.items()}
        return subprocess.CompletedProcess(arguments, code, **printed)

    def versions(self) -> list[Path]:
        return sorted(self.directory.glob("*/versions/*.py"), key=lambda path: path.stat().st_mtime_ns)

    def last_migration(self) -> str:
        return self.versions()[-1].read_text()


def _run(request: str, imports: tuple[str, ...]) -> int:
    """Have a command run and return its exit code; a negative one is a signal."""
    server = _command_server(imports)
    assert server.stdin is not None
    assert server.stdout is not None
    print(request, file=server.stdin, flush=True)
    return int(server.stdout.readline())


@functools.cache
def _command_server(imports: tuple[str, ...]) -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.contract.commands", *imports],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    # It ends with its input.
    atexit.register(server.communicate)
    return server
