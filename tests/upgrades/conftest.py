from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import uv
from sqlalchemy import URL


class Old:
    """A folder, and a Python that has the packages of then."""

    def __init__(self, python: Path, directory: Path, url: URL) -> None:
        self.python = python
        self.directory = directory
        self.environment = {"DATABASE_URL": url.render_as_string(hide_password=False)}

    def run(self, *arguments: str) -> str:
        """Run ``python`` with arguments, and return what it prints."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.directory,
            env={"PATH": os.environ["PATH"], **self.environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def flask(self, *arguments: str) -> str:
        return self.run("-m", "flask", "--app", "app", *arguments)


@pytest.fixture(scope="session")
def old_python(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Install packages from PyPI into an environment of their own."""

    @cache
    def install(*requirements: str) -> Path:
        environment = tmp_path_factory.mktemp("old") / "venv"
        commands = (
            ("venv", "--quiet", environment),
            ("pip", "install", "--quiet", "--python", environment / "bin" / "python", *requirements),
        )
        for command in commands:
            done = subprocess.run([uv.find_uv_bin(), *command], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        return environment / "bin" / "python"

    return install
