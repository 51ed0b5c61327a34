"""Commands survive what somebody had written into the trail."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import Shop
from tests.cli.shop import Customer
from tests.contract.forged import META, forge


@pytest.mark.parametrize("forged", META)
def test_forged_meta_and_filters_are_shown(own_shop: Shop, forged: str) -> None:
    added = own_shop.write(Customer(id=1, name="Eva"))
    with own_shop.engine.begin() as connection:
        id_ = forge(connection, forged, forged, "customers", "1")
    for command in (["log"], ["history", "customers", "1"], ["log", "--verb", "read"], ["show", str(id_)]):
        assert "read" in own_shop.run(*command).stdout
        for line in own_shop.run(*command, "--json").stdout.splitlines():
            json.loads(line, parse_int=str)
    own_shop.run("as-of", "customers", "1", own_shop.shown_at())
    own_shop.run("stats", "--by", "actor")
    assert "nothing to take back" in own_shop.run("undo", str(id_), "--dry-run").stdout
    assert "delete" in own_shop.run("undo", str(added), "--dry-run").stdout
    for format_ in ("jsonl", "csv"):
        own_shop.run("export", "--format", format_)
