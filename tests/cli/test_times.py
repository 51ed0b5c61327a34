"""A time is written with a zone, without one, as a date, or as so long ago."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import pytest
from audit_core.cli.errors import CommandError
from audit_core.cli.times import read_end, read_time, shown

UTC = dt.timezone.utc


@pytest.fixture(autouse=True)
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is two hours east of Greenwich."""
    monkeypatch.setenv("TZ", "XYZ-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2026-11-24T09:30:00+01:00", dt.datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
        ("2026-11-24T09:30:00.123456Z", dt.datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=UTC)),
        ("2026-11-24 09:30", dt.datetime(2026, 11, 24, 7, 30, tzinfo=UTC)),
        ("2026-11-24", dt.datetime(2026, 11, 23, 22, 0, tzinfo=UTC)),
    ],
)
def test_a_time_names_an_instant(written: str, meant: dt.datetime) -> None:
    assert read_time(written) == meant


@pytest.mark.parametrize(
    ("written", "ago"),
    [
        ("90s", dt.timedelta(seconds=90)),
        ("30m", dt.timedelta(minutes=30)),
        ("2h", dt.timedelta(hours=2)),
        ("7d", dt.timedelta(days=7)),
        ("4w", dt.timedelta(weeks=4)),
    ],
)
def test_a_time_may_be_so_long_ago(written: str, ago: dt.timedelta) -> None:
    before = dt.datetime.now(UTC)
    read = read_time(written)
    assert before - ago <= read <= dt.datetime.now(UTC) - ago


@pytest.mark.parametrize("written", ["", "yesterday", "2026-13-01", "5", "-2h", "2y", "999999999999d", "0001-01-01"])
def test_what_is_no_time_is_a_mistake(written: str) -> None:
    with pytest.raises(CommandError, match=r"is not a time\. Write"):
        read_time(written)


def test_a_time_that_is_shown_to_the_second_finds_again_what_it_was_shown_with() -> None:
    when = dt.datetime(2026, 11, 24, 9, 30, 0, 123456, tzinfo=UTC)
    assert shown(when) == "2026-11-24T11:30:00+02:00"
    assert read_time(shown(when)) <= when <= read_end(shown(when))
    assert read_end(shown(when)) == dt.datetime(2026, 11, 24, 9, 30, 0, 999999, tzinfo=UTC)


@pytest.mark.parametrize("written", ["2026-11-24T09:30:00.5Z", "2026-11-24T09:30+01:00", "2026-11-24"])
def test_an_end_that_names_no_whole_second_is_taken_as_it_is(written: str) -> None:
    assert read_end(written) == read_time(written)


def test_the_end_of_this_second_is_now() -> None:
    assert read_end(dt.datetime.now(UTC).isoformat(timespec="seconds")) <= dt.datetime.now(UTC)
