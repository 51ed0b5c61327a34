"""Times that users give, checked."""

from __future__ import annotations

import datetime as dt

from ..errors import HistoryError

# Clocks differ: what the server recorded just now must not be in the future here.
_CLOCK_SKEW = dt.timedelta(minutes=1)


def instant(when: dt.datetime, name: str = "when") -> dt.datetime:
    """Check that a time names one instant.

    :raises HistoryError: if it does not.
    """
    if not isinstance(when, dt.datetime):
        raise HistoryError(f"{name} is {when!r}; make it a datetime with a time zone.")
    if when.tzinfo is None or when.utcoffset() is None:
        raise HistoryError(
            f"{name} is {when!r}, which has no time zone, so it names no instant. Say which one is meant, for "
            f"instance with {name}.replace(tzinfo=timezone.utc)."
        )
    return when


def past(when: dt.datetime, name: str = "when") -> dt.datetime:
    """Check that a time names an instant that is over.

    :raises HistoryError: if it does not.
    """
    if instant(when, name) > dt.datetime.now(dt.timezone.utc) + _CLOCK_SKEW:
        raise HistoryError(f"{name} is {when.isoformat()}, which is in the future: nothing is recorded of it.")
    return when


def beside(when: dt.datetime, other: dt.datetime) -> str:
    """Write another instant in the time zone of one that was given, so that the two can be compared."""
    try:
        return other.astimezone(when.tzinfo).isoformat()
    except OverflowError:
        return other.isoformat()
