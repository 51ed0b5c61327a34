"""The tests' own server, and what they say when a given server is dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from dev.postgres import postgres_server

ROOT = Path(__file__).parents[2]


IN_MEMORY = pytest.mark.parametrize("in_memory", [False, True], ids=["on disk", "in memory"])


@IN_MEMORY
def test_server_listens_on_tcp_and_on_a_socket(in_memory: bool) -> None:
    with postgres_server(in_memory=in_memory) as url:
        with psycopg.connect(url) as connection:
            assert connection.info.server_version // 10000 == 18
            setting = connection.execute("SHOW unix_socket_directories").fetchone()
            data = connection.execute("SHOW data_directory").fetchone()
        assert setting
        assert data
        with psycopg.connect(url, host=setting[0]) as connection:
            assert connection.info.host == setting[0]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    assert not os.path.exists(setting[0])
    assert not os.path.exists(data[0])


@IN_MEMORY
def test_server_ends_with_a_killed_process(in_memory: bool) -> None:
    program = (
        "import time\n"
        "from dev.postgres import postgres_server\n"
        f"with postgres_server(in_memory={in_memory}) as url:\n"
        "    print(url, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        url = run.stdout.readline().strip()
        with psycopg.connect(url) as connection:
            setting = connection.execute("SHOW unix_socket_directories").fetchone()
            data = connection.execute("SHOW data_directory").fetchone()
        run.send_signal(signal.SIGKILL)
    assert setting
    assert data
    deadline = time.monotonic() + 15
    while os.path.exists(setting[0]) or os.path.exists(os.path.dirname(data[0])):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://ann:secret@127.0.0.1:1/app", "Connection refused"),
        ("no url", "Could not parse"),
    ],
)
def test_dead_server_stops_the_run_with_one_line(url: str, message: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/packages"],
        env={**os.environ, "AUDIT_TEST_DATABASE_URL": url},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    line, *rest = (run.stdout + run.stderr).strip().splitlines()
    assert line.startswith("ERROR: AUDIT_TEST_DATABASE_URL: ")
    assert message in line
    assert "secret" not in line
    assert not rest
