from tests.contract.bad_input import *  # noqa: F403
