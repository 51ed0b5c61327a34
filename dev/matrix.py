"""Run the tests in every environment of the matrix and say at the end what passed.

`python -m dev.matrix default` runs only the environments whose name starts with "default".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dev.postgres import WHEELS, bin_directory

GROUP = "config."
WORKERS = 2
CANNOT_START, NO_TESTS = 4, 5  # exit codes of pytest

# All environments share those in which Hatch reads the metadata of our packages.
creating = threading.Lock()
printing = threading.Lock()
stopped = threading.Event()


def main(wanted: list[str]) -> int:
    # We run in an environment of Hatch ourselves, and the packages have none of that name.
    os.environ.pop("HATCH_ENV_ACTIVE", None)
    chosen = environments(wanted)
    if not chosen:
        print(f"No environment's name starts with {' or '.join(wanted)}")
        return 1
    with ThreadPoolExecutor(WORKERS) as pool:
        results = list(pool.map(run_tests, chosen, chosen.values()))

    print(f"\n{' summary ':=^80}")
    for name, (result, reason) in zip(chosen, results, strict=True):
        print(f"{result:8} {name:22} {reason}")
    counts = Counter(result for result, _ in results)
    print("Environments: {passed} passed, {failed} failed, {skipped} skipped".format_map(counts))
    return 1 if counts["failed"] else 0


def environments(wanted: list[str]) -> dict[str, dict[str, Any]]:
    """Return the configuration of the wanted environments by name; an empty list means all."""
    shown = subprocess.run(
        [sys.executable, "-m", "hatch", "env", "show", "--json"],
        check=True,
        stdout=subprocess.PIPE,
    )
    return {
        name.removeprefix(GROUP): config
        for name, config in json.loads(shown.stdout).items()
        if name.startswith(tuple(GROUP + start for start in wanted or [""]))
    }


def run_tests(name: str, config: dict[str, Any]) -> tuple[str, str]:
    """Run the tests of one environment; return its result and the reason in one line."""
    version = config.get("env-vars", {}).get("AUDIT_TEST_POSTGRES")
    if stopped.is_set():
        return "skipped", "the run was stopped"
    if version and "AUDIT_TEST_DATABASE_URL" in os.environ:
        return "skipped", "AUDIT_TEST_DATABASE_URL names another server"
    if version and version not in WHEELS:
        try:
            bin_directory(version)
        except FileNotFoundError as error:
            return "skipped", str(error)
    with creating:
        code, output = hatch_run(name, "python", "--version")
    if code == 0:
        code, output = hatch_run(name, "run")
    with printing:
        print(f"\n{f' {name} ':=^80}\n{output}", flush=True)
    if code == NO_TESTS:
        return "failed", "there are no tests"
    if code == CANNOT_START:  # such as a server that does not answer: the others would not start either
        stopped.set()
    lines = output.splitlines() or [f"exit code {code}"]
    return ("failed" if code else "passed"), lines[-1].strip("= ")


def hatch_run(name: str, *command: str) -> tuple[int, str]:
    """Return the exit code and the output; what Hatch itself says only matters if it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "hatch", "run", f"{GROUP}{name}:{command[0]}", *command[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    output = done.stdout + (done.stderr if done.returncode else "")
    return done.returncode, output.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
