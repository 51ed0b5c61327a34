"""Runs tests/contract/tuning.py: options of tables in migrations."""

from tests.contract.tuning import *  # noqa: F403
