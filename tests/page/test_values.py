"""Values of types that JSON does not have, in a state at a time."""

from __future__ import annotations

import datetime as dt
import enum
import random
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask_audit_logger import AuditLogger
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ARRAY, JSON, URL, Date, LargeBinary, func, select
from sqlalchemy.orm import Mapped, mapped_column

from tests.page.test_json import asked
from tests.page.test_page import body

PNG = b"\x89PNG" + bytes(100_000)

db = SQLAlchemy()


class Colour(enum.Enum):
    RED = "r"


class Thing(db.Model):  # type: ignore[name-defined, misc]
    __table_args__ = ({"info": {"versioned": {"mask": ["hidden"]}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    hidden: Mapped[Any] = mapped_column(JSON)
    photo: Mapped[bytes] = mapped_column(LargeBinary)
    colour: Mapped[Colour]
    days: Mapped[list[dt.date]] = mapped_column(ARRAY(Date))
    span: Mapped[dt.timedelta]


audit_logger = AuditLogger(db, actor_cls=None)


@pytest.fixture
def things(database: URL) -> Iterator[Flask]:
    app = Flask("tests")
    app.config.update(SECRET_KEY="tests", SQLALCHEMY_DATABASE_URI=database)
    db.init_app(app)
    audit_logger.init_page(app, access=lambda: True)
    with app.app_context():
        db.create_all()
        with db.engine.begin() as connection:
            audit_logger.install(connection)
        days, span = [dt.date(2026, 1, 2)], dt.timedelta(days=1, hours=2)
        photos = PNG, PNG + random.Random(1).randbytes(400_000)
        for number, photo in enumerate(photos, 1):
            thing = Thing(id=number, hidden=[1], photo=photo, colour=Colour.RED, days=days, span=span)
            db.session.add(thing)
        db.session.commit()
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()


def now_of(app: Flask) -> str:
    with app.app_context():
        now: dt.datetime | None = db.session.scalar(select(func.clock_timestamp()))
        db.session.remove()
    assert now is not None
    return now.isoformat()


def test_a_state_at_a_time_has_values_as_they_are_recorded(things: Flask) -> None:
    client, record = things.test_client(), {"table": "thing", "key": "1", "when": now_of(things)}
    row = asked(client, "record/as-of", **record)["row"]
    assert row["photo"].startswith("\\x89504e47")
    recorded = asked(client, "record", table="thing", key="1")["activities"][0]["changed_data"]
    assert row == {**recorded, "hidden": None}
    shown = body(client, "record/as-of", **record)
    assert "PNG image, 100,004 bytes, SHA-256 " in shown
    assert "x00" not in shown
    assert "&#39;" not in shown
    for value in ("RED", "[&#34;2026-01-02&#34;]", "1 day 02:00:00"):
        assert f'<td class="value">{value}</td>' in shown
    assert "(masked)" in shown
    assert "***" not in shown


def test_a_row_that_is_too_long_to_be_loaded_as_it_is_recorded_has_the_same_bytes(things: Flask) -> None:
    client, record = things.test_client(), {"table": "thing", "key": "2", "when": now_of(things)}
    assert asked(client, "record", table="thing", key="2")["activities"][0]["is_too_long"]
    row = asked(client, "record/as-of", **record)["row"]
    assert bytes.fromhex(row["photo"].removeprefix("\\x")).startswith(PNG)
    assert "PNG image, 500,004 bytes" in body(client, "record/as-of", **record)
