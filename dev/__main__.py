"""Run the demo or the tests with nothing but Python: `python3 -m dev demo`, `python3 -m dev test`.

They are `hatch run demo` and `hatch run test:run`. Where Hatch is not installed, it is put into `.venv`.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PROGRAMS = VENV / ("Scripts" if os.name == "nt" else "bin")
COMMANDS = {"demo": "demo", "test": "test:run"}
OLDEST_PYTHON, OLDEST_HATCH = (3, 10), (1, 16)
#: What shells add to the number of a signal that ended a program.
SIGNALLED = 128
USAGE = f"usage: python3 -m dev {'|'.join(COMMANDS)} [arguments of `hatch run {'|'.join(COMMANDS.values())}`]"


def main(arguments: list[str]) -> int:
    if sys.version_info < OLDEST_PYTHON:
        return complain(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed, and this is {sys.version}")
    if not arguments or arguments[0] not in COMMANDS:
        return complain(USAGE)
    command, *rest = arguments
    try:
        hatch = find_hatch() or install_hatch()
        # Made on its own, so that what fails afterwards are the tests, which say best how to run them again.
        if command == "test":
            say("Making the environment that runs the tests, if it is not there")
            run([hatch, "run", "test:python", "--version"], stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        again(arguments)
        return error.returncode
    say(f"hatch run {shlex.join([COMMANDS[command], *rest])}")
    code = wait_for([hatch, "run", COMMANDS[command], *rest])
    if 0 < code < SIGNALLED and command != "test":
        again(arguments)
    return code


def find_hatch() -> str | None:
    """Return a Hatch that is new enough: of .venv, or of the path."""
    for path in (str(PROGRAMS), None):
        found = shutil.which("hatch", path=path)
        if found and hatch_version(found) >= OLDEST_HATCH:
            return found
    return None


def hatch_version(hatch: str) -> tuple[int, ...]:
    try:
        said = subprocess.run([hatch, "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):  # such as one whose Python is gone
        return (0,)
    found = re.search(r"version (\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else (0,)


def install_hatch() -> str:
    wanted = ".".join(map(str, OLDEST_HATCH))
    say(f"Hatch {wanted} or newer is not installed: putting it into {VENV}")
    try:
        run([sys.executable, "-m", "venv", str(VENV)])
    except subprocess.CalledProcessError:
        say("On Debian: apt-get install python3-venv")
        raise
    run([str(PROGRAMS / "python"), "-m", "pip", "install", "--quiet", f"hatch>={wanted}", "uv"])
    return str(PROGRAMS / "hatch")


def wait_for(command: list[str]) -> int:
    """Return how a command ended, or which signal ended it; Ctrl-C the terminal sends to both, and SIGTERM nobody."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment())
    signals: list[int] = []

    def hand_on(number: int, frame: object) -> None:
        signals.append(number)
        if number == signal.SIGTERM:
            process.terminate()

    signal.signal(signal.SIGINT, hand_on)
    signal.signal(signal.SIGTERM, hand_on)
    code = process.wait()
    return SIGNALLED + signals[0] if signals else code


def run(command: list[str], *, stdout: int | None = None) -> None:
    subprocess.run(command, cwd=ROOT, env=environment(), check=True, stdout=stdout)


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(PROGRAMS), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}


def say(text: str) -> None:
    print(text, flush=True)


def again(arguments: list[str]) -> None:
    say(f"To run it again: python3 -m dev {shlex.join(arguments)}")


def complain(text: str) -> int:
    print(text, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
