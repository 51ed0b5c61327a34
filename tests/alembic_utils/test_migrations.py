"""Runs tests/contract/migrations.py: what autogenerate writes, what it does, and the way back."""

from tests.contract.migrations import *  # noqa: F403

# alembic_utils drops the functions and triggers that are not registered; test_entities.py registers them.
del test_what_else_is_in_the_database_is_left_alone  # noqa: F821
