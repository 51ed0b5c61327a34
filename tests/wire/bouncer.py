"""PgBouncer in transaction mode, in front of the server of the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sqlalchemy import URL

from dev.postgres import free_port, unprivileged_user
from dev.programs import PGBOUNCER
from tests.needs import path_of

# Its standard input closes when the process that started it ends, even by SIGKILL.
KEEPER = """
"$1" "$2/pgbouncer.ini" &
read -r _
kill $!
wait $!
rm -rf "$2"
"""

CONFIGURATION = """
[databases]
* = host={host} port={port}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {directory}/userlist.txt
pool_mode = transaction
default_pool_size = {pool_size}
query_wait_timeout = 20
log_connections = 0
log_disconnections = 0
log_stats = 0
"""


@contextlib.contextmanager
def pgbouncer(server: URL, pool_size: int) -> Iterator[URL]:
    """Run a PgBouncer and yield the URL of the same database behind it.

    :param pool_size: how many connections to the server all clients share.
    """
    executable = path_of(PGBOUNCER)
    directory = Path(tempfile.mkdtemp(prefix="audit-pgbouncer-"))
    user = unprivileged_user()
    port = free_port()
    files = {
        "pgbouncer.ini": CONFIGURATION.format(
            host=server.host or "127.0.0.1",
            port=server.port or 5432,
            listen_port=port,
            directory=directory,
            pool_size=pool_size,
        ),
        "userlist.txt": f"{_quoted(server.username)} {_quoted(server.password)}\n",
    }
    for name, content in files.items():
        (directory / name).write_text(content)
    for path in (directory, *directory.iterdir()):
        os.chown(path, user.get("user", -1), user.get("group", -1))
    keeper = subprocess.Popen(
        ["sh", "-c", KEEPER, "keeper", executable, str(directory)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the tests; the keeper has work to do then
        **user,
    )
    assert keeper.stdin
    assert keeper.stderr
    log = _Log(keeper.stderr)
    try:
        log.wait_until_up()
        yield server.set(host="127.0.0.1", port=port)
    finally:
        keeper.stdin.close()
        keeper.wait(20)
        log.close()


class _Log:
    """What it says, read as it comes so that it never waits for us."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._up = False
        self._settled = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_until_up(self) -> None:
        self._settled.wait(20)
        if not self._up:
            raise RuntimeError(f"PgBouncer does not start:\n{''.join(self._lines)}")

    def close(self) -> None:
        self._reader.join(20)
        self._stream.close()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.append(line)
            if "process up" in line:
                self._up = True
                self._settled.set()
            elif "FATAL" in line:
                self._settled.set()
        self._settled.set()


def _quoted(value: object) -> str:
    return '"{}"'.format(str(value or "").replace('"', '""'))
