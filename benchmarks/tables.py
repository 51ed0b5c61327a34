"""The table that every subject records, and the rows that go into it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Boolean, DateTime, Integer, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

#: Every subject excludes it.
EXCLUDED = "views"


class ItemColumns:
    """A row of ten columns; each subject maps it onto its own base class."""

    __tablename__ = "item"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    code: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    category: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    active: Mapped[bool] = mapped_column(Boolean)
    created_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    views: Mapped[int] = mapped_column(Integer)


COLUMNS = "code, name, category, description, price, active, created_at, details, views"

#: The columns of row number g, as SQL.
VALUES = """\
'item-' || g AS code,
'The name of item ' || g AS name,
'category ' || g % 50 AS category,
repeat('A sentence about it. ', 4) || g AS description,
(g % 100000)::numeric(12, 2) / 100 AS price,
g % 7 <> 0 AS active,
timestamptz '2026-01-01 00:00+00' + g * interval '1 second' AS created_at,
jsonb_build_object('colour', 'green', 'weight', g % 900, 'tags', jsonb_build_array('new', 'sale')) AS details,
g % 1000 AS views"""

#: Where bulk loads read from, so that they do not spend their time on making up rows.
CREATE_SOURCE = "CREATE TABLE IF NOT EXISTS source AS SELECT {values} FROM generate_series(1, {rows}) AS g"


def create_source(rows: int) -> str:
    """Return the statement that makes the table ``source``."""
    return CREATE_SOURCE.format(values=VALUES, rows=rows)


def item_values(number: int) -> dict[str, Any]:
    """Return the columns of row ``number`` but its id, as ``VALUES`` has them."""
    return {
        "code": f"item-{number}",
        "name": f"The name of item {number}",
        "category": f"category {number % 50}",
        "description": "A sentence about it. " * 4 + str(number),
        "price": Decimal(number % 100_000) / 100,
        "active": number % 7 != 0,
        "created_at": dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc) + dt.timedelta(seconds=number),
        "details": {"colour": "green", "weight": number % 900, "tags": ["new", "sale"]},
        "views": number % 1000,
    }
