"""An environment for each subject, with the SQLAlchemy and the psycopg of this one."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from uv import find_uv_bin

from benchmarks.errors import BenchmarkError
from benchmarks.subjects import Subject

#: Goes away with the environment of the benchmark.
FOLDER = Path(sys.prefix) / "peers"
TIMEOUT = 300


def python_of(subject: Subject) -> Path:
    """Return the interpreter that has the subject, after installing it from PyPI if need be.

    :raises BenchmarkError: if it cannot be installed.
    """
    if not subject.requirements:
        return Path(sys.executable)
    requirements = [
        *subject.requirements,
        f"sqlalchemy=={version('sqlalchemy')}",
        f"psycopg[binary]=={version('psycopg')}",
    ]
    digest = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:8]
    folder = FOLDER / f"{subject.name}-{digest}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    complete = folder / "complete"
    if not complete.exists():
        _uv(subject, "venv", "--clear", "--python", sys.executable, str(folder))
        _uv(subject, "pip", "install", "--python", str(python), *requirements)
        complete.touch()
    return python


def _uv(subject: Subject, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [find_uv_bin(), "--quiet", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        reason = done.stderr.strip() if done.returncode else None
    except subprocess.TimeoutExpired:
        reason = f"uv was not done after {TIMEOUT} s"
    if reason is not None:
        raise BenchmarkError(
            f"{subject.name} cannot be installed into an environment of its own:\n{reason}\n"
            "Without the peers: --only none,ours,floor"
        )
