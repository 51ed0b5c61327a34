"""``stats`` counts the trail, and draws it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from itertools import groupby
from pathlib import Path

import pytest
from audit_core.cli.plot import _bars, draw
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


@pytest.mark.parametrize(
    ("days", "unit", "bars"),
    [(1, "day", 1), (100, "day", 100), (101, "week", 15), (1000, "month", 33), (9000, "year", 25)],
)
def test_a_bar_is_as_many_days_as_can_be_seen(days: int, unit: str, bars: int) -> None:
    first = dt.date(2024, 1, 1)
    found, starts = _bars([first, first + dt.timedelta(days=days - 1)])
    assert (found, len(starts)) == (unit, bars)


@pytest.mark.parametrize("days", [1, 1000])
def test_bars_are_as_wide_as_one_can_see(tmp_path: Path, days: int) -> None:
    """One day does not fill the picture, and of a thousand days no bar is lost between two points."""
    file = tmp_path / "changes.png"
    first = dt.date(2024, 1, 1)
    draw(file, [(first + dt.timedelta(days=number), "orders", 5) for number in range(days)])
    picture = (imread(file)[:, :, :3] * 255).round()
    blue = (picture == (31, 119, 180)).all(axis=2)
    # A row through the lower part of the bars, below the legend.
    row = blue[int(picture.shape[0] * 0.8)]
    widths = [len(list(group)) for is_blue, group in groupby(row) if is_blue]
    assert len(widths) == (1 if days == 1 else 33)
    assert all(10 < width < picture.shape[1] / 5 for width in widths)
