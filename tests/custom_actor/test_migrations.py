from tests.contract.migrations import *  # noqa: F403
