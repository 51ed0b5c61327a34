"""What happened to the rows of a table, as the trail has it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Event:
    """What an activity says of one key: what was there before, and what is after it."""

    id: int
    verb: str
    relid: int
    is_there: bool
    native_transaction_id: int
    issued_at: dt.datetime
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"activity {self.id} ({self.verb})"


@dataclass(frozen=True)
class Truncate:
    """A TRUNCATE of the table, or of a partition."""

    id: int
    relid: int
    #: Whether there is a table of this number today.
    is_there: bool
    #: Whether it took all rows, whatever table they were in.
    ends_all: bool

    def ends(self, event: Event, is_partitioned: bool) -> bool:
        """Return whether it took the row that an activity left, as ``as_of()`` does."""
        if self.ends_all or self.relid == event.relid:
            return True
        return not (is_partitioned or self.is_there or event.is_there)
