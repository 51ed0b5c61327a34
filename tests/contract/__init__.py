"""The tests that configurations share, and what they are run on.

pytest finds them through `test_contract.py`, `test_migrations.py`, `test_bad_input.py` and `test_tuning.py` of each
configuration, which import the `test_` functions of `recording.py`, `migrations.py`, `bad_input.py` and `tuning.py`.
"""
