"""What was archived, or brought back."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


@dataclass(frozen=True)
class Archived:
    """A partition that was archived, or would be, or was brought back."""

    #: The name of its table.
    partition: str
    #: How many activities it has.
    rows: int
    #: How many transactions came with them.
    transactions: int
    #: The time of its first activity.
    since: dt.datetime | None
    #: None of its activities is later.
    until: dt.datetime
    #: Of its activities, in the database and in the archive; None if it was not computed.
    checksum: str | None
    #: Whether its table was dropped; what is held stays.
    is_dropped: bool
