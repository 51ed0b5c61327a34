"""The examples, started as their users do, and ended by each of the ways in which a program may be ended."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, text

ROOT = Path(__file__).parents[2]
#: What `hatch run` gives to a shell.
SCRIPTS = dict(re.findall(r'^(demo|example-\w+) = "(.+) \{args\}"', (ROOT / "hatch.toml").read_text(), re.MULTILINE))
#: Stands for Hatch, which does not hand signals on.
HATCH = "import subprocess, sys; subprocess.run(sys.argv[1], shell=True)"


def environment(server: URL | None = None) -> dict[str, str]:
    """Return what Hatch sets; without a server the example starts one of its own."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    given = server.render_as_string(hide_password=False) if server else ""
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "AUDIT_DATABASE_URL": given}


@contextmanager
def started(*command: str, server: URL | None = None) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(server),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], pattern: str) -> re.Match[str]:
    """Read line by line until one matches."""
    assert process.stdout
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError("".join(lines))


def databases(engine: Engine) -> list[str]:
    """Return the databases that examples made and did not drop."""
    with engine.connect() as connection:
        return list(connection.scalars(text("SELECT datname FROM pg_database WHERE datname LIKE 'audit_demo_%'")))


def test_plain_ends_by_itself() -> None:
    with started("sh", "-c", SCRIPTS["example-plain"]) as process:
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert output.splitlines() == [
        "update {'limit': (500, 50000)} by ben",
        "insert {'id': (None, 1), 'limit': (None, 500), 'owner': (None, 'Ada'), 'secret': (None, '***')} by ann",
        "Ada had a limit of 500, and a secret that the trail does not know",
        "undo: update accounts 2 limit",
        "undo: update accounts 1 limit",
        "limits now: 500 300",
        "check: []",
    ]


def test_fastapi_answers_and_ends_with_hatch() -> None:
    with started(sys.executable, "-c", HATCH, f"{SCRIPTS['example-fastapi']} --port 0") as process:
        site = read_until(process, r"Notebook: (\S+)")[1]
        assert ask("PUT", f"{site}/notes/1", {"text": "milk"}, user="ann") == {"text": "milk"}
        assert ask("POST", f"{site}/transactions/1/undo", user="ben") == {"transaction": 3}
        history = ask("GET", f"{site}/notes/1/history")
        assert [(each["what"], each["who"]) for each in history] == [("delete", "ben"), ("insert", "ann")]
        process.send_signal(signal.SIGTERM)
        assert process.stdout
        process.stdout.read()  # which ends with the last program that writes there
    with pytest.raises(OSError, match="refused"):
        ask("GET", f"{site}/notes/1/history")


def test_demo_ends_at_sigterm_and_takes_its_database_along(database: URL, engine: Engine) -> None:
    program = SCRIPTS["demo"].partition(" ")[2].split()
    with started(*program, server=database) as process:
        read_until(process, "The migration")
        assert len(databases(engine)) == 1
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "Traceback" not in output
    assert databases(engine) == []


def test_demo_serves_until_ctrl_c(database: URL, engine: Engine, tmp_path: Path) -> None:
    program = [*SCRIPTS["demo"].partition(" ")[2].split(), "--directory", str(tmp_path / "demo")]
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.execvpe(program[0], program, environment(database))
    output = read_terminal(terminal, until="Ctrl-C stops it.")
    (site,) = re.findall(r"(http://127\.0\.0\.1:\d+) each country", " ".join(output.split()))
    with urllib.request.urlopen(site) as answer:
        assert answer.status == 200
    os.write(terminal, b"\x03")
    output += read_terminal(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, output
    assert "all that was done, each with who did it, and no more" in " ".join(output.split())
    assert "Stopped." in output
    assert "Traceback" not in output
    assert databases(engine) == []


def test_python_m_dev_hands_sigterm_on() -> None:
    child = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit('told')); print(1); signal.pause()"
    program = "import sys; from dev.__main__ import wait_for; sys.exit(wait_for([sys.executable, '-c', sys.argv[1]]))"
    with started(sys.executable, "-c", program, child) as process:
        read_until(process, "1")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert output == "told\n"
    assert process.returncode == 128 + signal.SIGTERM


def ask(method: str, url: str, body: object = None, *, user: str = "") -> object:
    """Send a request and return what it answers."""
    headers = {"Content-Type": "application/json", "X-User": user}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
        return json.load(answer)


def read_terminal(terminal: int, until: str | None = None) -> str:
    """Read what a program writes, until it has written this or has ended."""
    output = ""
    while until is None or until not in output:
        try:
            output += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # as Linux says that nobody writes there any more
            break
    return re.sub(r"\x1b\[[\d;?]*\w", "", output)
