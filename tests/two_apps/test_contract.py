from tests.contract.recording import *  # noqa: F403
