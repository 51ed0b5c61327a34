"""Runs tests/contract/migrations.py: what autogenerate writes, what it does, and the way back."""

from tests.contract.migrations import *  # noqa: F403
