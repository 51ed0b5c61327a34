"""Shells complete the commands and options of ``audit-log``."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

DOCUMENTATION = (ROOT / "docs/cli.md").read_text()


def completing(instruction: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["audit-log"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PATH": path, "PYTHONPATH": str(ROOT), "_AUDIT_LOG_COMPLETE": instruction, **environment},
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_told_how_to_complete(shell: str) -> None:
    assert f"_AUDIT_LOG_COMPLETE={shell}_complete" in completing(f"{shell}_source")
    assert re.search(rf"_AUDIT_LOG_COMPLETE={shell}_source audit-log", DOCUMENTATION), "and the reader, too"


def test_commands_and_options_are_completed() -> None:
    assert completing("bash_complete", COMP_WORDS="audit-log wh", COMP_CWORD="1").splitlines() == ["plain,who"]
    options = completing("bash_complete", COMP_WORDS="audit-log log --by", COMP_CWORD="2").splitlines()
    assert options == ["plain,--by-transaction"]


def test_bash_completes_with_the_line_of_the_documentation() -> None:
    (line,) = re.findall(r'^eval "\$\(_AUDIT_LOG_COMPLETE=bash_source audit-log\)".*$', DOCUMENTATION, re.MULTILINE)
    ask = "COMP_WORDS=(audit-log hist); COMP_CWORD=1; _audit_log_completion audit-log"
    script = "\n".join([line, ask, 'printf "%s\\n" "${COMPREPLY[@]}"'])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": path, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "history\n", done.stderr
