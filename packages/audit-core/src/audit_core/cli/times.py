"""Times as a person writes them."""

from __future__ import annotations

import datetime as dt
import re

from .errors import CommandError

#: For the help of a command that takes times.
HELP = """\b
A time is one of these:
  2026-11-24T09:30:00+01:00   ISO 8601 with a zone, or Z for UTC
  2026-11-24T09:30            without one: in the time zone of this machine
  2026-11-24                  the first instant of the day, likewise
  2026-11-24T09:30:15         as a command shows it; as an end with all of its second
  30m, 2h, 7d, 4w             that long ago; also s"""

# Hours:minutes:seconds, and nothing smaller.
_WHOLE_SECOND = re.compile(r"\d[T ]\d\d:\d\d:\d\d(?![\d.,])")
_LAST_OF_SECOND = dt.timedelta(microseconds=999_999)
_AGO = re.compile(r"(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_time(text: str) -> dt.datetime:
    """Read a time that is given to a command."""
    try:
        if ago := _AGO.fullmatch(text):
            return dt.datetime.now(dt.timezone.utc) - dt.timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        # Python 3.10 knows no Z.
        when = dt.datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
        return when if when.tzinfo is not None else when.astimezone()
    except (ValueError, OverflowError):
        raise CommandError(
            f"{text!r} is not a time. Write 2026-11-24T09:30+01:00, 2026-11-24, or 2h for two hours ago."
        ) from None


def read_end(text: str) -> dt.datetime:
    """Read a time up to which something is asked for: a second that is given without a fraction is included.

    So a time that is shown, to the second, can be given again and finds what it was shown with.
    """
    when = read_time(text)
    if _WHOLE_SECOND.search(text) is None:
        return when
    now = dt.datetime.now(dt.timezone.utc)
    return max(when, min(when + _LAST_OF_SECOND, now))


def shown(when: dt.datetime) -> str:
    """Write a time in the time zone of this machine, to the second."""
    return when.astimezone().isoformat(timespec="seconds")
