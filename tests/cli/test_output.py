"""What the commands print can be trusted: on a terminal, in a pipe and as JSON."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest
from audit_core.cli.cutting import cut_pair
from sqlalchemy import text

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


def on_terminal(shop: Shop, *arguments: str, columns: int = 100, code: int = 0, **environment: str) -> str:
    """Run a command on a terminal and return all that reaches it."""
    owner, terminal = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment = {
        **inherited,
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "COLUMNS": str(columns),
        **environment,
    }
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
    assert process.wait(timeout=30) == code, printed
    return printed.decode()


def test_values_are_neither_markup_nor_commands_for_the_terminal(hostile: Shop) -> None:
    shown = on_terminal(hostile, "log")
    assert ESCAPED in shown
    for each in ("\x1b[31mred", "\x9b", "\u202e"):
        assert each not in shown
    assert "\x1b[33mupdate\x1b[0m" in shown, "our own colours are there"


def test_there_are_no_colours_where_nobody_wants_them(hostile: Shop) -> None:
    shown = on_terminal(hostile, "log", NO_COLOR="1")
    assert "update" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", shown)


def test_a_terminal_gets_long_values_cut_and_all_of_them_when_asked(hostile: Shop) -> None:
    shown = on_terminal(hostile, "log", columns=40)
    assert "y" * 120 + "… (500 characters)" in shown
    assert "y" * 121 not in shown
    for command in (["log"], ["history", "customers", "1"], ["show", "2"], ["as-of", "customers", "1", "0m"]):
        assert "y" * 500 in on_terminal(hostile, *command, "--full", columns=40), command
        assert "y" * 121 not in on_terminal(hostile, *command, columns=40), command
        assert "y" * 500 in hostile.run(*command).stdout, "a pipe filters"


def test_the_first_difference_of_long_values_is_seen() -> None:
    old, new = "a" * 900 + "old" + "b" * 900, "a" * 900 + "new" + "b" * 900
    assert cut_pair(old, new) == (
        f"…{'a' * 20}old{'b' * 97}… (1,803 characters)",
        f"…{'a' * 20}new{'b' * 97}… (1,803 characters)",
    )
    assert cut_pair("x", "y") == ("x", "y")
    assert cut_pair("x" * 200, "x" * 201) == (f"…{'x' * 20}", f"…{'x' * 21}")


def test_no_control_character_of_a_database_error_reaches_the_terminal(own_shop: Shop) -> None:
    with own_shop.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION '%', E'no\\x1b[31m\\x07' || chr(155) USING ERRCODE = '42501'; END $$"
            )
        )
        connection.execute(text("CREATE TRIGGER refuse BEFORE DELETE ON customers EXECUTE FUNCTION refuse()"))
    added = own_shop.write(Customer(id=1, name="Eva"))
    said = own_shop.mistake("undo", str(added), "--yes")
    assert said == "Error: The database refuses: no\\x1b[31m\\x07\\x9b"
    unknown = Shop(own_shop.url.set(database="nix\x1b[31m"), own_shop.engine)
    shown = on_terminal(unknown, "log", code=2)
    assert '"nix\\x1b[31m" does not exist' in shown
    assert "\x1b" not in shown


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
