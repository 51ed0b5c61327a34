"""Names, types and literals, before they stand in a statement."""

from __future__ import annotations

import pytest
from audit_core import (
    ConfigurationError,
)
from audit_core.quoting import literal, quote, type_name


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 64, "é" * 32])
def test_names_that_postgresql_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        quote(name)


@pytest.mark.parametrize("name", ["int; DROP TABLE x", "int--", "", "text)", "a'b", "$audit_logger$"])
def test_what_is_no_type_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        type_name(name)


@pytest.mark.parametrize(
    "name",
    ["bigint", "varchar(36)", "numeric(10, 2)", "timestamp(3) with time zone", 'public."My type"', "uuid"],
)
def test_types_are_left_alone(name: str) -> None:
    assert type_name(name) == name


def test_a_literal_with_a_nul_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        literal("a\0b")
