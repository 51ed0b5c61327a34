"""The examples of the documentation, as files that can be run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from sqlalchemy import URL

ROOT = Path(__file__).parents[2]


def page_of(name: str) -> str:
    """Return the text of a page."""
    return (ROOT / "docs" / f"{name}.md").read_text()


def blocks(page: str) -> dict[str, str]:
    """Return the marked blocks of a page by their marks."""
    return dict(re.findall(r"<!-- (.+?) -->\n```\w+\n(.*?)```", page_of(page), flags=re.DOTALL))


def write_files(page: str, folder: str, directory: Path) -> None:
    """Write the files of one example: those whose mark is ``file: folder/name``."""
    for mark, text in blocks(page).items():
        if mark.startswith(f"file: {folder}/"):
            (directory / mark.rpartition("/")[2]).write_text(text)


def python(directory: Path, url: URL, *arguments: str, **environment: str) -> str:
    """Run Python in the folder of an example, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": str(directory),
            "DATABASE_URL": url.render_as_string(hide_password=False),
            **environment,
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
