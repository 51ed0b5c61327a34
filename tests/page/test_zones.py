"""Times are those of the reader, with UTC beside them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from audit_core import ConfigurationError
from flask import Flask
from sqlalchemy import URL, text

from tests.page.app import audit_logger, create_app, db
from tests.page.conftest import dispose, fill
from tests.page.test_page import TABLE, body

#: 14 hours ahead of UTC, all year.
FAR = "Pacific/Kiritimati"


@pytest.fixture
def zone() -> list[Any]:
    """What the function of the application answers."""
    return [FAR]


@pytest.fixture
def app(database: URL, zone: list[Any]) -> Iterator[Flask]:
    app = create_app(database, timezone=lambda: zone[0])
    fill(app)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("SET LOCAL audit_logger.maintenance = 'on'"))
        for table in ("activity", "transaction"):
            connection.execute(text(f"UPDATE {table} SET issued_at = '2026-01-05 12:30:15+00'"))
    yield app
    dispose(app)


def test_times_are_in_the_zone_and_utc_is_at_hand(app: Flask) -> None:
    shown = body(app.test_client(), "transaction/1")
    assert re.search(
        r'<time datetime="2026-01-05T[^"]*" title="2026-01-06 02:30:15 \+14, 2026-01-05 12:30:15 UTC">'
        r"2026-01-06 02:30:15</time>",
        shown,
    )
    assert f"All times are in {FAR}" in shown
    assert "6 January 2026" in body(app.test_client(), "")


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"since": "2026-01-06T02:00", "zone": FAR}, 3),
        ({"since": "2026-01-06T02:00"}, 0),
        ({"since": "2026-01-06T02:00+14:00"}, 3),
        ({"since": "2026-01-05T12:00Z", "zone": FAR}, 3),
        ({"until": "2026-01-06T02:00", "zone": FAR}, 0),
    ],
)
def test_a_link_means_the_same_to_each_reader(app: Flask, zone: list[Any], asked: dict[str, str], count: int) -> None:
    for reader in (FAR, None, "America/New_York"):
        zone[0] = reader
        assert len(app.test_client().get("/audit/log.json", query_string=asked).json["entries"]) == count  # type: ignore[index]


def test_today_and_the_days_of_the_chart_are_those_of_the_zone(app: Flask) -> None:
    shown, today = body(app.test_client(), ""), dt.datetime.now(ZoneInfo(FAR)).date()
    assert f"/audit/?zone=Pacific/Kiritimati&amp;since={today}T00:00" in shown.replace("%2F", "/")
    assert f"{today}: 0 changes" in shown


def test_the_form_keeps_the_zone_of_its_times(app: Flask) -> None:
    client = app.test_client()
    assert f'<input type="hidden" name="zone" value="{FAR}">' in body(client, "")
    assert 'value="2026-01-05T10:00:00"' in body(client, "", since="2026-01-05T10:00")
    assert 'name="zone"' not in body(client, "", since="2026-01-05T10:00")
    assert 'value="2026-01-06T00:00:00"' in body(client, "", since="2026-01-05T10:00Z")


def test_the_state_at_a_time_is_asked_for_in_the_zone(app: Flask) -> None:
    key = {"table": TABLE, "key": "one"}
    shown = body(app.test_client(), "record/as-of", **key, when="2026-01-06T02:31", zone=FAR)
    assert f"2026-01-06 02:31:00</time> {FAR}" in shown
    assert "12345678901234567890.10" in shown
    (link, *_) = re.findall(r'href="(/audit/record/as-of\?[^"]*when[^"]*)"', body(app.test_client(), "record", **key))
    assert "2026-01-06T02:30:15.000" in app.test_client().get(link.replace("&amp;", "&")).text


@pytest.mark.parametrize("name", ["Nowhere/Town", "../etc/passwd", "/etc/passwd", "\ud800", "", "x" * 5000])
def test_a_zone_that_is_none(app: Flask, zone: list[Any], name: str, caplog: pytest.LogCaptureFixture) -> None:
    zone[0] = name
    shown = body(app.test_client(), "")
    assert "All times are in UTC" in shown
    assert ("is not a time zone." in shown) == bool(name)
    assert ("which is not a time zone" in caplog.text) == bool(name)
    if name and name != "\ud800":
        assert "is not a time zone" in body(app.test_client(), "", 400, since="2026-01-01T00:00", zone=name)
    if name:
        with pytest.raises(ConfigurationError, match="zoneinfo does not know"):
            audit_logger.init_page(Flask("other"), access=lambda: True, timezone=name)


def test_something_else_than_a_zone_is_refused(app: Flask) -> None:
    with pytest.raises(ConfigurationError, match="timezone is 5; give a name"):
        audit_logger.init_page(Flask("other"), access=lambda: True, timezone=5)  # type: ignore[arg-type]
