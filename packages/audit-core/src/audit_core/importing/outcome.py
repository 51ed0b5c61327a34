"""What came of an import."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """Changes that were not imported."""

    #: The table that they name, with its schema; None if they name none.
    table: str | None
    #: Why they were not.
    reason: str
    rows: int
    #: Where the first of them stands: its id in the other trail, or its line.
    first: int


@dataclass(frozen=True)
class Imported:
    """The history of another audit trail that is part of this one now."""

    #: What made it, such as ``flask-audit-logger-2``.
    source: str
    #: The partition that holds it; None if there was nothing to import.
    partition: str | None
    activities: int
    transactions: int
    #: The time of the first and of the last change.
    since: dt.datetime | None
    until: dt.datetime | None
    #: What could not be imported.
    skipped: tuple[Skipped, ...]
    #: How many activities of which table have no ``row_key``, so that they belong to the history of no record.
    without_key: tuple[tuple[str, int], ...]
    #: How many changes have no actor.
    without_actor: int
