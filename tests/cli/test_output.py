"""What the commands print can be trusted: on a terminal, in a pipe and as JSON."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT, Shop
from tests.cli.shop import Customer

HOSTILE = "[bold]x[/bold]\n\x1b[31mred\x9b2J\r\u202e"
ESCAPED = "[bold]x[/bold]\\n\\x1b[31mred\\x9b2J\\r\\u202e"


@pytest.fixture(scope="module")
def hostile(shared_shop: Shop) -> Shop:
    """A shop whose customer has markup and escape sequences in the name, and a long one."""
    shared_shop.write(Customer(id=1, name=HOSTILE), note=HOSTILE)
    shared_shop.change(Customer, 1, name="y" * 500, ssn="078-05-1120")
    return shared_shop


def on_terminal(shop: Shop, *arguments: str, columns: int = 100) -> str:
    """Run a command on a terminal and return all that reaches it."""
    owner, terminal = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environment.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "audit_core.cli", *shop.given, *arguments]
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, stdin=terminal, env=environment)
    os.close(terminal)
    printed = b""
    while True:
        try:
            part = os.read(owner, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not part:
            break
        printed += part
    os.close(owner)
    assert process.wait(timeout=30) == 0, printed
    return printed.decode()


def test_values_are_neither_markup_nor_commands_for_the_terminal(hostile: Shop) -> None:
    shown = on_terminal(hostile, "log")
    assert ESCAPED in shown
    for each in ("\x1b[31mred", "\x9b", "\u202e"):
        assert each not in shown
    assert "\x1b[33mupdate\x1b[0m" in shown, "our own colours are there"


def test_nothing_is_cut_on_a_narrow_terminal(hostile: Shop) -> None:
    assert "y" * 500 in on_terminal(hostile, "log", columns=40)


@pytest.mark.parametrize("command", [["log"], ["history", "customers", "1"], ["show", "1"]])
def test_a_pipe_gets_plain_lines_with_whole_values(hostile: Shop, command: list[str]) -> None:
    shown = hostile.run(*command).stdout
    assert ESCAPED in shown
    assert "\x1b" not in shown
    assert command[0] == "show" or f"name: {ESCAPED} → {'y' * 500}" in shown
    assert "078-05-1120" not in shown


def test_the_columns_of_a_pipe_are_aligned(hostile: Shop) -> None:
    heading, *lines = hostile.run("log").stdout.splitlines()
    assert len(lines) == 2
    for name, values in (("verb", ("update", "insert")), ("table", ("customers", "customers"))):
        assert [line[heading.index(name) :].split()[0] for line in lines] == list(values)


@pytest.mark.parametrize(
    "command", [["log"], ["show", "1"], ["as-of", "customers", "1", "0m"], ["stats"], ["check"], ["verify"]]
)
def test_json_has_no_colours_on_a_terminal(hostile: Shop, command: list[str]) -> None:
    shown = on_terminal(hostile, *command, "--json")
    assert not {"\x1b", "\x9b"} & set(shown)
    for line in shown.splitlines():
        assert isinstance(json.loads(line), dict)


def test_json_has_the_values_as_they_are(hostile: Shop) -> None:
    added = hostile.lines("log")[-1]
    assert added["changed_data"]["name"] == HOSTILE
    assert added["meta"] == {"note": HOSTILE}


def test_a_closed_pipe_ends_it_quietly(hostile: Shop) -> None:
    """More is printed than a pipe holds, and nobody reads it."""
    for each in range(60):
        hostile.change(Customer, 1, name=f"{each}" + "z" * 2000)
    for command in (["log", "--limit", "100"], ["log", "--json", "--limit", "100"], ["export", "--format", "jsonl"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "audit_core.cli", *hostile.given, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 141
        process.stderr.close()


def test_the_progress_of_an_export_is_shown_on_a_terminal_only(hostile: Shop, tmp_path) -> None:  # type: ignore[no-untyped-def]
    arguments = ("export", "--format", "jsonl", "--output", str(tmp_path / "trail.jsonl"))
    assert "Exporting" in on_terminal(hostile, *arguments)
    assert hostile.run(*arguments).output == ""
