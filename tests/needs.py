"""What some tests need beside their wheels: without it they are skipped, or fail where everything must be tried."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from dev.programs import INSIST, Program


def path_of(program: Program) -> str:
    """Return where a program is; skip or fail the test if it is not installed."""
    found = program.find()
    if found is None:
        without(program.missing)
    return found


def without(reason: str) -> NoReturn:
    """Skip or fail the test, since something is not here."""
    if os.environ.get(INSIST):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
