"""Run the tests in every environment of the matrix and say at the end what passed.

`python -m dev.matrix default` runs only the environments whose name starts with "default".
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dev.postgres import WHEELS
from dev.programs import CHROMIUM, INSIST, OPENSSL, PGBOUNCER, REDIS, CannotInstallError, Program, debian_postgres

#: The environments of configurations, and those of what is tested once.
GROUPS = ("config.", "suite.")
WORKERS = 2
CANNOT_START, NO_TESTS = 4, 5  # exit codes of pytest
HEARTBEAT = 60  # seconds
SLOWEST = 10

# The longest begin first, so that no worker is left alone with one in the end.
LONGEST = (
    "core_only",
    "alembic_utils",
    "cli",
    "packages",
    "backup",
    "archive",
    "alembic_only",
    "stress",
    "frameworks",
    "default",
    "upgrades",
    "page",
    "multi_bind",
    "wire",
)
BYTECODE = Path(__file__).parents[1] / ".pytest_cache" / "bytecode"
PROGRAMS = {
    "cli": [OPENSSL],
    "wire": [PGBOUNCER],
    "page": [CHROMIUM],
    "backup": [debian_postgres("15")],
    "frameworks": [REDIS],
}


@dataclass
class Report:
    """What one environment's tests came to."""

    result: str
    closing: str
    #: The slowest tests, as seconds and name.
    times: list[tuple[float, str]] = field(default_factory=list)
    #: How many tests were skipped, by reason.
    skips: Counter[str] = field(default_factory=Counter)


class Progress:
    """Prints as each environment starts and ends; from several threads, a message at a time."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._running: dict[str, float] = {}
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        with self._lock:
            self._print(text)

    def start(self, name: str) -> None:
        with self._lock:
            self._running[name] = time.monotonic()
            self._print(f"started {short(name)}")

    def end(self, name: str, report: Report, output: str) -> None:
        with self._lock:
            self._done += 1
            seconds = time.monotonic() - self._running.pop(name)
            if report.result == "failed":
                print(f"\n{f' {short(name)} ':=^80}\n{output}\n{'':=^80}\n")
            self._print(f"{report.result:7} {short(name):22} {_duration(seconds)}  {report.closing}")
            self._print_state()

    def skip(self, name: str, reason: str) -> Report:
        with self._lock:
            self._done += 1
            self._print(f"skipped {short(name):22}        {reason}")
        return Report("skipped", reason)

    def beat(self) -> None:
        with self._lock:
            self._print_state()

    def _print_state(self) -> None:
        now = time.monotonic()
        running = [f"{short(name)} ({_duration(now - since)})" for name, since in self._running.items()]
        self._print(f"        {self._done} of {self._total} done; running: {', '.join(running) or 'nothing'}")

    def _print(self, text: str) -> None:
        print(f"{_duration(time.monotonic() - self._started)} {text}", flush=True)


class Matrix:
    """The run of some environments, two at a time."""

    def __init__(self, environments: dict[str, dict[str, Any]], folder: Path) -> None:
        self._environments = environments
        self._folder = folder
        self._progress = Progress(len(environments))
        self._missing: dict[Program, Future[str | None]] = {}
        # All environments share those in which Hatch reads the metadata of our packages.
        self._creating = threading.Lock()
        self._stopped = threading.Event()

    def run(self) -> dict[str, Report]:
        over = threading.Event()

        def beat() -> None:
            while not over.wait(HEARTBEAT):
                self._progress.beat()

        threading.Thread(target=beat, daemon=True).start()
        names = sorted(self._environments, key=_expected_length)
        # One installation at a time, beside the environments that do not need it.
        with ThreadPoolExecutor(1) as installer, ThreadPoolExecutor(WORKERS) as workers:
            for program in dict.fromkeys(program for name in names for program in self._programs(name)):
                self._missing[program] = installer.submit(self._bring, program)
            reports = dict(zip(names, workers.map(self._run_environment, names), strict=True))
        over.set()
        return {name: reports[name] for name in self._environments}

    def _programs(self, name: str) -> list[Program]:
        """Return the programs that an environment needs beside its wheels."""
        programs = [] if "AUDIT_TEST_DATABASE_URL" in os.environ else self._server(name)
        return [*programs, *PROGRAMS.get(_configuration(name), [])]

    def _server(self, name: str) -> list[Program]:
        version = self._version(name)
        return [debian_postgres(version)] if version and version not in WHEELS else []

    def _version(self, name: str) -> str | None:
        version: str | None = self._environments[name].get("env-vars", {}).get("AUDIT_TEST_POSTGRES")
        return version

    def _runs_elsewhere(self, name: str) -> bool:
        """Whether a given server makes another environment the same, which names no version of PostgreSQL."""
        version = self._version(name)
        if version is None or "AUDIT_TEST_DATABASE_URL" not in os.environ:
            return False
        return name.removesuffix(f"-{version}") in self._environments

    def _bring(self, program: Program) -> str | None:
        """Install a program if it is not there; return why it is missing, or None."""
        if program.find():
            return None
        self._progress.say(f"        {program.name} is not there: installing it, if that can be done")
        try:
            program.install()
        except CannotInstallError as error:
            return str(error)
        return None

    def _run_environment(self, name: str) -> Report:
        if self._stopped.is_set():
            return self._progress.skip(name, "the run was stopped")
        if self._runs_elsewhere(name):
            return self._progress.skip(name, "AUDIT_TEST_DATABASE_URL names another server")
        # The tests say themselves what they need; a server they cannot do without.
        missing = {program: self._missing[program].result() for program in self._programs(name)}
        for program in self._server(name):
            if reason := missing[program]:
                return Report("failed", reason) if os.environ.get(INSIST) else self._progress.skip(name, reason)
        self._progress.start(name)
        report, output = self._test(name)
        self._progress.end(name, report, output)
        return report

    def _test(self, name: str) -> tuple[Report, str]:
        xml = self._folder / f"{name}.xml"
        with contextlib.ExitStack() as creating:
            creating.enter_context(self._creating)
            # It is there when the first line of pytest is.
            options = (f"--junitxml={xml}", "-o", "junit_duration_report=total")
            code, output = hatch_run(name, "run", *options, when_it_begins=creating.close)
        lines = output.splitlines() or [f"exit code {code}"]
        report = Report("failed" if code else "passed", lines[-1].strip("= "))
        if code == NO_TESTS:
            report.closing = "there are no tests"
        if code == CANNOT_START:  # such as a server that does not answer: the others would not start either
            self._stopped.set()
        if xml.exists():
            read_tests(report, xml)
        return report, output


def main(wanted: list[str]) -> int:
    # We run in an environment of Hatch ourselves, and the packages have none of that name.
    os.environ.pop("HATCH_ENV_ACTIVE", None)
    print("Reading the environments of hatch.toml", flush=True)
    chosen = environments(wanted)
    if not chosen:
        print(f"No environment's name starts with {' or '.join(wanted)}")
        return 1
    with tempfile.TemporaryDirectory(prefix="audit-matrix-") as folder:
        # Programs start many times: where no bytecode is to stand beside the sources, it stands elsewhere. It stays for
        # the next run, since compiling all that an environment imports takes as long as the tests of a configuration.
        if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
            os.environ["PYTHONPYCACHEPREFIX"] = str(BYTECODE)
        reports = Matrix(chosen, Path(folder)).run()
    print_summary(reports)
    failed = [name for name, report in reports.items() if report.result == "failed"]
    if failed:
        print(f"To run what failed again: python3 -m dev test {' '.join(map(short, failed))}", flush=True)
    return 1 if failed else 0


def environments(wanted: list[str]) -> dict[str, dict[str, Any]]:
    """Return the configuration of the wanted environments by name; an empty list means all."""
    shown = subprocess.run(
        [sys.executable, "-m", "hatch", "env", "show", "--json"],
        check=True,
        stdout=subprocess.PIPE,
    )
    starts = tuple(wanted or [""])
    return {
        name: config
        for name, config in json.loads(shown.stdout).items()
        if name.startswith(GROUPS) and (name.startswith(starts) or short(name).startswith(starts))
    }


def short(name: str) -> str:
    """Return the name of an environment without its group."""
    return name.partition(".")[2]


def read_tests(report: Report, xml: Path) -> None:
    """Add what pytest wrote about each test: its time, and why it was skipped."""
    times = []
    for case in ElementTree.parse(xml).iter("testcase"):
        times.append((float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}"))
        for skipped in case.iter("skipped"):
            report.skips[skipped.get("message", "")] += 1
    report.times = sorted(times, reverse=True)[:SLOWEST]


def print_summary(reports: dict[str, Report]) -> None:
    print(f"\n{' the slowest tests ':=^80}")
    times = [(seconds, name, test) for name, report in reports.items() for seconds, test in report.times]
    for seconds, name, test in sorted(times, reverse=True)[:SLOWEST]:
        print(f"{seconds:6.1f} s  {short(name)}: {test}")

    print(f"\n{' summary ':=^80}")
    for name, report in reports.items():
        print(f"{report.result:8} {short(name):22} {report.closing}")
    for line in not_tried(reports):
        print(line)
    counts = Counter(report.result for report in reports.values())
    print(
        f"Environments: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped", flush=True
    )


def not_tried(reports: dict[str, Report]) -> Iterable[str]:
    """Print, a line for each reason, which tests were skipped."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, report in reports.items():
        if report.result == "skipped":
            found[report.closing].append(f"all of {short(name)}")
        for reason, count in report.skips.items():
            found[reason].append(f"{count} of {short(name)}")
    for reason, tests in found.items():
        yield f"Not tried: {', '.join(tests)}. {reason}"


def hatch_run(name: str, *command: str, when_it_begins: Callable[[], None]) -> tuple[int, str]:
    """Return the exit code and the output; what Hatch itself says only matters if it failed.

    ``when_it_begins`` is called when the command prints something, after Hatch has made the environment.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "hatch", "run", f"{name}:{command[0]}", *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        with process:
            output = process.stdout.readline()
            when_it_begins()
            output += process.stdout.read()
        errors.seek(0)
        said = errors.read() if process.returncode else ""
    return process.returncode, (said + output).strip()


def _configuration(name: str) -> str:
    """Return the folder of tests that an environment runs: core_only of core_only-2.1-16."""
    return short(name).partition("-")[0]


def _expected_length(name: str) -> int:
    configuration = _configuration(name)
    return LONGEST.index(configuration) if configuration in LONGEST else len(LONGEST)


def _duration(seconds: float) -> str:
    return f"{int(seconds) // 60:2}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
