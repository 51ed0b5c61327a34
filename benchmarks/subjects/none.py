"""No audit: what the others are compared with."""

from __future__ import annotations

from sqlalchemy.orm import DeclarativeBase

from benchmarks.subjects.recorder import Recorder
from benchmarks.tables import ItemColumns


class Base(DeclarativeBase):
    pass


class Item(ItemColumns, Base):
    pass


class Unaudited(Recorder):
    item_cls = Item


recorder = Unaudited()
