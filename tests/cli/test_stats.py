"""``stats`` counts the trail, and draws it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from matplotlib.image import imread
from sqlalchemy import text

from tests.cli.conftest import Shop
from tests.cli.shop import Customer, Order


@pytest.fixture(scope="module")
def counted(shared_shop: Shop) -> Shop:
    """A shop with two changes of yesterday and one of today."""
    shared_shop.write(Customer(id=1, name="Eva"), Order(id=1, customer_id=1, total=Decimal(1)))
    with shared_shop.engine.begin() as connection:
        connection.execute(text("SET LOCAL audit_logger.maintenance = on"))
        connection.execute(text("UPDATE activity SET issued_at = issued_at - interval '1 day'"))
    shared_shop.change(Customer, 1, actor="ben", name="x" * 1000)
    return shared_shop


def test_rows_and_bytes_are_counted_by_table_actor_and_day(counted: Shop) -> None:
    stats = counted.object("stats")
    today = dt.datetime.now(dt.timezone.utc).date()
    rows = {
        name: [(*[value for key, value in each.items() if key != "bytes"],) for each in stats[name]] for name in stats
    }
    assert rows == {
        "by_table": [("public", "customers", 2), ("public", "orders", 1)],
        "by_actor": [("ann", 2), ("ben", 1)],
        "by_day": [(str(today - dt.timedelta(days=1)), 2), (str(today), 1)],
    }
    with counted.engine.connect() as connection:
        stored = connection.scalar(text("SELECT sum(pg_column_size(changed_data)) FROM activity"))
    for counts in stats.values():
        assert sum(each["bytes"] for each in counts) > stored
    assert stats["by_table"][0]["bytes"] > stats["by_table"][1]["bytes"]


def test_one_kind_of_a_time_can_be_asked_for(counted: Shop) -> None:
    heading, line = counted.run("stats", "--by", "table", "--since", "2h").stdout.splitlines()
    assert heading.split() == ["schema", "table", "rows", "bytes"]
    assert line.split()[:3] == ["public", "customers", "1"]
    assert counted.object("stats", "--by", "actor", "--until", "2h")["by_actor"][0]["rows"] == 2


def test_the_changes_of_each_day_are_drawn(counted: Shop, tmp_path: Path) -> None:
    file = tmp_path / "changes.png"
    counted.run("stats", "--plot", str(file))
    picture = imread(file)
    assert picture.shape[0] > 300
    colours = {tuple(each) for each in (picture.reshape(-1, picture.shape[-1])[:, :3] * 255).round().tolist()}
    assert {(31, 119, 180), (255, 127, 14)} <= colours, "one colour for each table"


def test_a_picture_that_cannot_be_drawn_is_a_mistake(counted: Shop, tmp_path: Path) -> None:
    assert "cannot be written: No such file" in counted.mistake("stats", "--plot", str(tmp_path / "nix" / "a.png"))
    assert "nothing to draw" in counted.mistake("stats", "--until", "9d", "--plot", str(tmp_path / "a.png"))
    assert list(tmp_path.iterdir()) == []
