from tests.contract.tuning import *  # noqa: F403
