"""The driver's end of a worker."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.environments import python_of
from benchmarks.errors import BenchmarkError
from benchmarks.subjects import Subject

ROOT = Path(__file__).parents[1]


class Worker:
    """A subject in a process of its own; ends with the block."""

    def __init__(self, subject: Subject, timeout: float) -> None:
        self.subject = subject
        self._timeout = timeout
        self._process = subprocess.Popen(
            [python_of(subject), "-m", "benchmarks.worker", subject.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5 if error is None else 0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def prepare(self, url: str, source_rows: int) -> dict[str, str]:
        """Create tables and trail in a database; returns the versions of what is installed."""
        versions: dict[str, str] = self._ask({"command": "prepare", "url": url, "source_rows": source_rows})["versions"]
        return versions

    def run(self, step: str, arguments: Mapping[str, Any]) -> dict[str, float | list[float]]:
        """Run a step once and return its figures."""
        figures: dict[str, float | list[float]] = self._ask(
            {"command": "run", "step": step, "arguments": dict(arguments)}
        )["figures"]
        return figures

    def clean(self) -> None:
        """Close the connections."""
        self._ask({"command": "clean"})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Timer(self._timeout, self._process.kill)
        late.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            late.cancel()
        if not line:
            raise BenchmarkError(f"{self.subject.name}: no answer within {self._timeout:.0f} s to {_shown(request)}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchmarkError(f"{self.subject.name} fails at {_shown(request)}:\n{answer['error']}")
        return answer


def _shown(request: dict[str, Any]) -> str:
    """Leave the URLs out, which have a password."""
    arguments = {key: value for key, value in request.get("arguments", {}).items() if key != "url"}
    return f"{request['command']} {request.get('step', '')} {arguments}"
