"""How long something is kept, as people write it."""

from __future__ import annotations

import datetime as dt
import re

from .errors import ConfigurationError

#: Nothing goes.
FOREVER = "forever"

_UNITS = {"y": "years", "mo": "months", "w": "weeks", "d": "days", "h": "hours"}
_WRITTEN = re.compile(r"(\d{1,5})\s*(y|mo|w|d|h|years?|months?|weeks?|days?|hours?)", re.ASCII)


def period(value: object, name: str = "keep") -> str:
    """Write a period as PostgreSQL reads it, of ``2y``, ``18mo``, ``90d``, a timedelta, or ``forever``.

    :raises ConfigurationError: if it is something else, or not longer than nothing.
    """
    if isinstance(value, dt.timedelta):
        if value <= dt.timedelta(0):
            raise ConfigurationError(f"{name} is {value!r}; it must be longer than nothing.")
        return f"{value.days} days {value.seconds} seconds {value.microseconds} microseconds"
    if value == FOREVER:
        return FOREVER
    match = _WRITTEN.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) == 0:
        raise ConfigurationError(
            f"{name} is {value!r}; write a number and a unit, such as '2y', '18mo', '90d' or '12h', or "
            "give a timedelta."
        )
    unit = match[2]
    return f"{int(match[1])} {_UNITS.get(unit) or unit.rstrip('s') + 's'}"
