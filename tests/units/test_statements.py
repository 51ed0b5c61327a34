"""Which statements may write."""

from __future__ import annotations

import pytest
from audit_core.capture.statements import text_may_write


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT f()", True),
        ("-- a comment\n /* another */ insert into x values (1)", True),
        ("(SELECT 1) UNION (SELECT 2)", True),
        ("EXPLAIN ANALYZE DELETE FROM x", True),
        ("SET TRANSACTION READ ONLY", False),
        ("set x = 1; DELETE FROM x", True),
        ("SHOW all;", False),
        ("", True),
    ],
)
def test_what_a_text_may_do_is_told_by_its_first_word(statement: str, expected: bool) -> None:
    assert text_may_write(statement) is expected
