"""Programs that the tests need and no wheel brings: found, or installed as root on Debian."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: Set where everything must be tried, as in `.ci/run`: what is missing is a failure then, else a skip.
INSIST = "AUDIT_TEST_INSIST"


class CannotInstallError(Exception):
    """A program could not be installed; the text is the reason in one line."""


@dataclass(frozen=True)
class Program:
    """A program and the package of Debian that has it.

    :param variable: an environment variable that may say where it is.
    :param starts_clusters: whether the package would create and start a server of its own.
    """

    name: str
    package: str
    executables: tuple[str, ...]
    variable: str | None = None
    starts_clusters: bool = False

    def find(self) -> str | None:
        """Return its path, or None if it is not installed."""
        if self.variable and (given := os.environ.get(self.variable)):
            return shutil.which(given)
        # Debian keeps servers out of a user's path.
        path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
        for executable in self.executables:
            if found := shutil.which(executable, path=path):
                return found
        return None

    @property
    def missing(self) -> str:
        """What to say where it is not installed."""
        other = f", or let {self.variable} say where it is" if self.variable else ""
        return f"{self.name} is not installed: `apt-get install {self.package}`{other}"

    def install(self) -> None:
        """Install Debian's package.

        Raises CannotInstallError, also where that takes another system or other rights.
        """
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise CannotInstallError(self.missing)
        if self.starts_clusters:
            _keep_clusters_from_starting()
        # Packages start their services; not in runlevel 1.
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", self.package]):
            done = subprocess.run(
                ["apt-get", "-qq", *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=environment,
            )
            if done.returncode:
                (*_, last) = done.stdout.splitlines() or [f"exit code {done.returncode}"]
                raise CannotInstallError(f"{self.missing} (`apt-get {command[0]}` says: {last})")
        if self.find() is None:
            raise CannotInstallError(f"{self.missing} (the package has no {' or '.join(self.executables)})")


PGBOUNCER = Program("PgBouncer", "pgbouncer", ("pgbouncer",))
REDIS = Program("Redis", "redis-server", ("redis-server", "valkey-server"))
OPENSSL = Program("OpenSSL", "openssl", ("openssl",))
CHROMIUM = Program(
    "Chromium",
    "chromium",
    ("chromium", "chromium-browser", "google-chrome"),
    variable="AUDIT_TEST_CHROMIUM",
)


def debian_postgres(version: str) -> Program:
    """Return the server of a major version that no wheel brings."""
    return Program(
        f"PostgreSQL {version}",
        f"postgresql-{version}",
        (f"/usr/lib/postgresql/{version}/bin/initdb",),
        starts_clusters=True,
    )


def _keep_clusters_from_starting() -> None:
    settings = Path("/etc/postgresql-common/createcluster.conf")
    if not settings.exists():  # else it is somebody's
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text("create_main_cluster = false\n")
