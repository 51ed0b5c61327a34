"""In which time zone the page shows times, and reads them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from audit_core import ConfigurationError, HistoryError
from flask import current_app, g, request

UTC = "UTC"
_OFFSET = re.compile(r"(Z|T.*[+-]\d\d(:?\d\d)?)$")
#: The arguments that hold times.
_TIMES = ("since", "until", "when")
_CACHED = "_audit_logger_zone"


@dataclass(frozen=True)
class Zone:
    """A time zone, by its name."""

    name: str = UTC
    #: What is wrong with the one that the application gave.
    problem: str = ""

    @property
    def info(self) -> dt.tzinfo:
        return dt.timezone.utc if self.name == UTC else ZoneInfo(self.name)

    @property
    def is_utc(self) -> bool:
        return self.name == UTC

    def local(self, when: dt.datetime) -> dt.datetime:
        """Return an instant as the clocks of this zone show it."""
        return when.astimezone(self.info)

    def text(self, when: dt.datetime) -> str:
        return self.local(when).strftime("%Y-%m-%d %H:%M:%S")

    def both(self, when: dt.datetime) -> str:
        """Write an instant to the second, with the zone and in UTC."""
        utc = f"{when.astimezone(dt.timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
        return utc if self.is_utc else f"{self.local(when):%Y-%m-%d %H:%M:%S %Z}, {utc}"

    def midnight(self, day: dt.date) -> dt.datetime:
        """Return when a day begins."""
        return dt.datetime.combine(day, dt.time(), tzinfo=self.info)


@dataclass(frozen=True)
class Zones:
    """The zone of the readers: one for all, or a function that is asked at each request."""

    given: str | Callable[[], str | None] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.given, str):
            if not _exists(self.given):
                raise ConfigurationError(
                    f"timezone is {self.given!r}, which zoneinfo does not know. Give a name such as 'Europe/Vienna'; "
                    "where the system has no time zones, install tzdata."
                )
        elif self.given is not None and not callable(self.given):
            raise ConfigurationError(f"timezone is {self.given!r}; give a name, or a function that returns one.")

    def of_reader(self) -> Zone:
        """Return the zone of who reads; UTC if the function names none."""
        # Two pages of an app may have different ones.
        cached: dict[Any, Zone] = g.setdefault(_CACHED, {})
        if self not in cached:
            cached[self] = self._of_reader()
        return cached[self]

    def _of_reader(self) -> Zone:
        name = self.given() if callable(self.given) else self.given
        if not name:
            return Zone()
        if isinstance(name, str) and _exists(name):
            return Zone(name)
        said = "Audit page: timezone= returned %r, which is not a time zone; times are in UTC"
        current_app.logger.warning(said, name)
        shown = str(name)[:100]
        return Zone(UTC, f"{shown!r} is not a time zone.")

    def asked(self) -> Zone:
        """Return the zone of the times in the address: a link means the same to each reader.

        :raises HistoryError: if it names one that there is not.
        """
        name = request.args.get("zone")
        if name:
            if not _exists(name):
                raise HistoryError(f"zone is {name[:100]!r}, which is not a time zone; write it as Europe/Vienna.")
            return Zone(name)
        times = [text for each in _TIMES if (text := request.args.get(each))]
        return self.of_reader() if all(map(_OFFSET.search, times)) else Zone()


def _exists(name: str) -> bool:
    if name == UTC:
        return True
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # What zoneinfo raises depends on what the name looks like as a path.
        return False
    return True
