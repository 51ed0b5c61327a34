"""Fixtures of the contract; a configuration's conftest.py adds ``subject``."""

from __future__ import annotations

import pytest

from tests.contract.subject import Subject, Trail


@pytest.fixture
def trail(subject: Subject) -> Trail:
    """What is recorded from now on."""
    return Trail(subject)
