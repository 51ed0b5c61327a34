"""What is public is documented, and nothing else is."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from dev import api

PUBLIC = [
    (module, name, getattr(importlib.import_module(module), name))
    for module in api.MODULES
    for name in importlib.import_module(module).__all__
]


@pytest.mark.parametrize("module", api.MODULES)
def test_the_page_says_what_the_docstrings_say(module: str) -> None:
    written = (api.PAGES / f"{module}.md").read_text()
    assert written == api.page(module), "run: hatch run docs:api"


@pytest.mark.parametrize(("module", "name", "public"), PUBLIC, ids=lambda each: each if isinstance(each, str) else "")
def test_each_public_name_has_a_docstring_and_so_has_what_it_offers(module: str, name: str, public: Any) -> None:
    assert inspect.getdoc(public)
    if inspect.isclass(public):
        for member, function in api.public_members(public):
            assert inspect.getdoc(getattr(function, "fget", None) or function), member
        # What the tables and their columns are called is said in the README.
        if not name.startswith(("AuditLogActivity", "AuditLogTransaction")):
            assert [each for each, _, comment in api.public_attributes(public) if not comment] == []
