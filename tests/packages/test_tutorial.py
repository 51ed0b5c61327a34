"""The tutorial, done line by line: its commands say what it says that they say."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from sqlalchemy import URL

from tests.contract.project import Project

TUTORIAL = (Path(__file__).parents[2] / "docs/tutorial.md").read_text()
FILES = dict(re.findall(r"<!-- file: tutorial/(.+?) -->\n```python\n(.*?)```", TUTORIAL, re.DOTALL))
PROGRAMS = {"audit-log": "audit_core.cli"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00")


def steps() -> Iterator[tuple[list[str], list[str]]]:
    """Yield each command and the lines that it is said to print."""
    for block in re.findall(r"```console\n(.*?)```", TUTORIAL, re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *shown = step.rstrip().splitlines()
            yield shlex.split(command), shown


def test_the_tutorial(tmp_path: Path, database: URL) -> None:
    url = database.render_as_string(hide_password=False)
    project = Project(tmp_path, database)
    project.environment |= {"AUDIT_LOG_URL": url, "AUDIT_LOG_METADATA": "models:Base"}
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    #: The times of this run, by those that are shown.
    times: dict[str, str] = {}
    done = []
    for (program, *arguments), shown in steps():
        if program == "python":
            program, arguments = arguments[0].removesuffix(".py"), []
            in_another_second()
        printed = project.run(PROGRAMS.get(program, program), *(times.get(each, each) for each in arguments))
        if program == "alembic" and arguments[0] == "init":
            edit_env(tmp_path / "migrations/env.py")
        compare(shown, printed.rstrip().splitlines(), times)
        done.append(program)
    assert done.count("audit-log") == 10
    assert times


def in_another_second() -> None:
    """Wait as a reader does: times are shown, and given, to the second."""
    before = int(time.time())
    while int(time.time()) == before:
        time.sleep(0.01)


def edit_env(env: Path) -> None:
    """Replace the line that the tutorial says."""
    (lines,) = re.findall(r"<!-- env.py: tutorial -->\n```python\n(.*?)```", TUTORIAL, re.DOTALL)
    before = env.read_text()
    after = before.replace("target_metadata = None\n", lines)
    assert after != before
    env.write_text(after)


def compare(shown: list[str], printed: list[str], times: dict[str, str]) -> None:
    """Compare line by line, but for times and the name of the role; three dots stand for any lines."""
    if "..." in shown:
        wanted = [line for line in shown if line != "..."]
        assert [line for line in printed if line in wanted] == wanted
        return
    for expected, actual in zip_longest(shown, printed):
        assert actual is not None, f"not printed: {expected}"
        assert expected is not None, f"not shown: {actual}"
        for then, now in zip(TIME.findall(expected), TIME.findall(actual), strict=True):
            times[then] = now
            expected = expected.replace(then, now)
        if not actual.startswith("db_user "):
            assert actual.rstrip() == expected
