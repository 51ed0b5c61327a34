"""Runs tests/contract/bad_input.py: what a migrate refuses, before it has written anything."""

from tests.contract.bad_input import *  # noqa: F403
