"""``archive``, ``unarchive`` and ``--archive`` on the command line."""

from __future__ import annotations

import json
from operator import itemgetter
from typing import Any

import pytest
from audit_core.cli.standalone import audit_log as audit_log_command
from click.testing import CliRunner, Result

from tests.archive.trail import Trail


class Commands:
    def __init__(self, trail: Trail) -> None:
        self.trail = trail

    def run(self, *arguments: str, code: int = 0) -> Result:
        url = self.trail.engine.url.render_as_string(hide_password=False)
        given = ["--url", url, "--metadata", "tests.archive.trail:Base"]
        result = CliRunner().invoke(audit_log_command, [*given, *arguments])
        assert result.exit_code == code, result.output
        return result

    def lines(self, *arguments: str) -> list[Any]:
        return [json.loads(line) for line in self.run(*arguments).stdout.splitlines()]


@pytest.fixture
def commands(trail: Trail) -> Commands:
    trail.three_years()
    return Commands(trail)


READING = (
    ("history", "items", "1", "--json"),
    ("history", "items", "20", "--json"),
    ("log", "--verb", "insert", "--verb", "update", "--verb", "delete", "--json"),
    ("log", "--actor", "ben", "--verb", "update", "--json"),
    ("log", "--table", "parts", "--json"),
    ("log", "--meta", "reason=first", "--json"),
    ("show", "1", "--json"),
    ("show", "1"),
    ("as-of", "items", "1", "600d", "--json"),
    ("as-of", "items", "1", "300d", "--json"),
    ("export", "--format", "csv", "--table", "items"),
    ("export", "--format", "jsonl", "--until", "400d"),
)


def test_commands_answer_from_both_as_one(commands: Commands) -> None:
    answers = {each: commands.run(*each).stdout for each in READING}
    to = str(commands.trail.warehouse)
    (planned, _) = commands.lines("archive", "--older-than", "1y", "--drop", "--dry-run", "--json")[0]["partitions"]
    result = commands.run("archive", "--older-than", "1y", "--to", to, "--drop")
    heading, first, second = result.stdout.splitlines()
    assert heading.split() == ["partition", "rows", "transactions", "since", "until", "dropped"]
    assert first.split()[:2] == [planned["partition"], str(planned["rows"])] == ["activity_p0001", "3"]
    assert second.split()[0] == "activity_p0002"
    for each, answer in answers.items():
        if each[0] == "as-of":
            continue
        assert commands.run(*each, "--archive").stdout == answer, each
    for each in READING:
        if each[0] == "as-of":
            mine, wanted = (json.loads(text) for text in (commands.run(*each, "--archive").stdout, answers[each]))
            assert {**mine, "as_of": None} == {**wanted, "as_of": None}
    assert commands.run("history", "items", "1").stdout != commands.run("history", "items", "1", "--archive").stdout
    assert "is before that" in commands.run("as-of", "items", "1", "600d", code=2).stderr
    again = commands.run("archive", "--older-than", "1y")
    assert again.stderr == "Nothing is old enough to be archived, or all of it is.\n"


def test_what_was_archived_comes_back(commands: Commands) -> None:
    before = commands.trail.recorded()
    commands.run("archive", "--older-than", "1y", "--to", str(commands.trail.warehouse), "--drop")
    (line,) = commands.run("unarchive", "activity_p0001", "--hold", "case 17").stdout.splitlines()[1:]
    assert line.split()[:3] == ["activity_p0001", "3", "2"]
    commands.run("unarchive", "activity_p0002")
    assert commands.trail.recorded() == before
    assert "only the archive has" in commands.run("unarchive", "2001-01", code=2).stderr
    assert "case 17" in commands.run("hold", "list").stdout
    assert commands.run("as-of", "items", "1", "600d").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("archive", "--older-than", "1y"), "Say where to"),
        (("archive", "--older-than", "soon", "--to", "x"), "older_than is 'soon'"),
        (("archive", "--older-than", "forever", "--to", "x"), "nothing is older"),
        (("archive", "--older-than", "1y", "--catalog", "nowhere"), "PyIceberg knows no catalog 'nowhere'"),
        (("history", "items", "1", "--archive"), "Say where to"),
        (("history", "items", "1", "--archive", "--related"), "exclude each other"),
        (("log", "--archive", "--follow"), "leave --archive out"),
    ],
)
def test_what_cannot_be_meant_is_refused(commands: Commands, arguments: tuple[str, ...], message: str) -> None:
    assert message in commands.run(*arguments, code=2).stderr


def test_a_person_is_shown_and_erased_in_both(commands: Commands) -> None:
    asked = ("subject", "items", "1", "--actor", "ben")
    before = commands.lines(*asked)
    to = str(commands.trail.warehouse)
    commands.run("archive", "--older-than", "1y", "--to", to, "--drop")
    assert len(commands.lines(*asked)) < len(before)
    both = commands.lines(*asked, "--archive")
    key = itemgetter("id")
    assert [{**each, "role": ""} for each in sorted(both, key=key)] == [
        {**each, "role": ""} for each in sorted(before, key=key)
    ]
    assert {each["id"]: each["role"] for each in both} == {each["id"]: each["role"] for each in before}

    erase = ("erase", "items", "1", "--columns", "name", "--reason", "request 7", "--actor", "ben")
    counted = commands.lines(*erase, "--dry-run", "--json")[0]
    assert counted["values"] == [{"table": "items", "column": "name", "values": 3}]
    left = commands.run(*erase, "--yes", "--no-archive")
    assert "The archive may have the values still, in 2 partitions." in left.stderr
    assert commands.lines(*erase, "--dry-run", "--json")[0]["values"] == [
        {"table": "items", "column": "name", "values": 2}
    ]
    commands.run(*erase, "--yes")
    assert commands.lines(*erase, "--dry-run", "--json")[0]["values"] == []
    history = commands.lines("history", "items", "1", "--archive", "--json")
    assert {tuple(each["erased"]) for each in history} == {("name",)}
