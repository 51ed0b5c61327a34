"""Runs the contract of tests/contract/recording.py: what is recorded, and whose change it is."""

from tests.contract.recording import *  # noqa: F403
