"""Programs that run beside a test, and end with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from dev.postgres import free_port
from dev.programs import REDIS
from tests.needs import path_of

ROOT = Path(__file__).parents[2]

# Its standard input closes when the process that started it ends, even by SIGKILL. What it would write itself, it does
# not: so the output ends with the program.
KEEPER = '"$@" </dev/null & exec >&- 2>&-; read -r _; kill $!; wait $!'


@contextlib.contextmanager
def running(*command: str, environment: Mapping[str, str] | None = None, ready: str, directory: Path) -> Iterator[None]:
    """Run a program for the length of a block, once it has said that it is ready; print what it said."""
    keeper = subprocess.Popen(
        ["sh", "-c", KEEPER, "keeper", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=directory,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    assert keeper.stdin
    assert keeper.stdout
    said: list[str] = []
    is_ready = threading.Event()

    def read() -> None:
        for line in keeper.stdout or ():
            said.append(line)
            if ready in line:
                is_ready.set()
        is_ready.set()

    reading = threading.Thread(target=read)
    reading.start()
    try:
        is_ready.wait()
        if keeper.poll() is not None or not any(ready in line for line in said):
            raise RuntimeError(f"{command[0]} has ended: {''.join(said)}")
        yield
    finally:
        keeper.stdin.close()
        keeper.wait()
        reading.join()
        keeper.stdout.close()
        print(*said, sep="")


@contextlib.contextmanager
def redis(directory: Path) -> Iterator[str]:
    """Run a Redis that keeps nothing, and yield its URL."""
    port = free_port()
    options = ("--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(directory))
    with running(path_of(REDIS), *options, ready="Ready to accept connections", directory=directory):
        yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def worker(app: str, directory: Path, *options: str, **environment: str) -> Iterator[None]:
    """Run a worker of Celery."""
    command = (sys.executable, "-m", "celery", "-A", app, "worker", "--loglevel", "INFO", "--without-mingle", *options)
    path = os.pathsep.join([str(directory), str(ROOT)])
    with running(*command, environment={"PYTHONPATH": path, **environment}, ready=" ready.", directory=directory):
        yield
