"""Of which times the trail itself says that something was not recorded."""

from __future__ import annotations

import datetime as dt
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Row, select

from ..options import OPERATIONS
from ..reading.audited_table import AuditedTable
from ..reading.coverage import coverage_table, limit


class Moment(Protocol):
    """An activity, as far as its place matters."""

    @property
    def id(self) -> int: ...

    @property
    def issued_at(self) -> dt.datetime: ...


@dataclass(frozen=True)
class Coverage:
    """What was recorded of a table, and when not."""

    #: Whether the table was empty when its recording began, so that each row has a beginning in the trail.
    is_whole: bool
    #: From when until when changes were not recorded, and why; the end is None if it goes on.
    pauses: tuple[tuple[dt.datetime, dt.datetime | None, str], ...]
    #: From when until when the triggers were not what had been installed.
    gaps: tuple[tuple[dt.datetime, dt.datetime], ...]
    #: The time before which retention removed activities.
    removed_until: dt.datetime | None
    #: The ids of the activities that say that a statement bypassed the trail.
    bypasses: array[int]

    @classmethod
    def read(cls, connection: Connection, audited: AuditedTable) -> Coverage:
        """Read what the trail says of a table."""
        covered = coverage_table(audited.scope)
        events = connection.execute(select(covered).where(audited.is_of(covered.c)).order_by(covered.c.issued_at)).all()
        activity = audited.activities
        bypasses = connection.execute(
            select(activity.c.id)
            .where(activity.c.row_key.is_(None), activity.c.verb == "bypass")
            .order_by(activity.c.id)
            .execution_options(yield_per=10_000)
        ).scalars()
        removed_until = connection.scalar(select(limit(audited, "removed_until")))
        was_empty = bool(events) and events[0].event == "begin" and events[0].row_count_is_exact
        return cls(
            removed_until is None and was_empty and events[0].row_count == 0,
            tuple(_pauses(events)),
            tuple((each.since, each.issued_at) for each in events if each.event == "gap"),
            removed_until,
            array("q", bypasses),
        )

    def explanation(self, before: Moment | None, after: Moment | None) -> str | None:
        """Return what the trail knows of the time between two activities; None if nothing.

        :param before: None for the time before there was anything; ``after``: None for now.
        """
        place = bisect_right(self.bypasses, before.id if before else 0)
        if place < len(self.bypasses) and (after is None or self.bypasses[place] < after.id):
            return f"activity {self.bypasses[place]} says that changes of the table bypassed the trail"
        if self.removed_until is not None and (before is None or before.issued_at < self.removed_until):
            return f"retention removed activities from before {self.removed_until.isoformat()}"
        for begin, end, why in self.pauses:
            if (after is None or begin < after.issued_at) and (end is None or before is None or before.issued_at < end):
                return f"{why} from {begin.isoformat()}" + (f" to {end.isoformat()}" if end else "")
        return None

    def gap(self, before: Moment | None, after: Moment | None) -> str:
        """Return that the triggers had been tampered with between two activities, if it is known."""
        for begin, end in self.gaps:
            if (after is None or begin < after.issued_at) and (before is None or before.issued_at < end):
                return f"; some time from {begin.isoformat()} to {end.isoformat()} its triggers were not as installed"
        return ""


def _pauses(events: Sequence[Row[Any]]) -> Iterator[tuple[dt.datetime, dt.datetime | None, str]]:
    for each, following in zip(events, (*events[1:], None), strict=True):
        until = following.issued_at if following is not None else None
        missing = [name for name in OPERATIONS if name not in each.operations]
        if each.event == "end":
            yield each.issued_at, until, "the table was not recorded"
        elif each.event in ("begin", "change") and missing:
            yield each.issued_at, until, f"{', '.join(missing)} of the table was not recorded"
