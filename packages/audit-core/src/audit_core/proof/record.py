"""One record, followed from its first activity to the row of today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from .events import Event
from .facts import TableFacts
from .finding import Finding, Kind

if TYPE_CHECKING:
    pass


class Record:
    """The activities of one key, followed from the first one to the row of today.

    Within a database transaction, several rows may have one key, where its constraint is deferred.
    """

    def __init__(self, facts: TableFacts, key: str) -> None:
        self._facts = facts
        self._key = key
        # What activities left under the key, and the last one of all.
        self._rows: list[tuple[Event, str]] = []
        self._last: Event | None = None

    def follow(self, events: Iterable[Event], data: str | None) -> Iterator[Finding]:
        """Yield where the chain is broken, up to the row of today."""
        for event in events:
            self._truncate(event.id)
            if self._last is None:
                yield from self._begin(event)
            else:
                if event.native_transaction_id != self._last.native_transaction_id:
                    yield from self._settle()
                yield from self._step(self._last, event)
            if event.after is not None:
                self._rows.append((event, event.after))
            self._last = event
        self._truncate(None)
        yield from self._settle()
        yield from self._end(data)

    def _truncate(self, until: int | None) -> None:
        """Take the rows away that a TRUNCATE took."""
        facts = self._facts
        self._rows = [
            (event, row)
            for event, row in self._rows
            if not any(each.ends(event, facts.live.is_partitioned) for each in facts.truncates_between(event.id, until))
        ]

    def _begin(self, event: Event) -> Iterator[Finding]:
        if event.before is not None and self._facts.coverage.is_whole:
            yield from self._finding("break", (), None, event, f"{event} is of a row that no activity had put there")

    def _step(self, last: Event, event: Event) -> Iterator[Finding]:
        """Compare what an activity found with what was there."""
        before = event.after if event.verb == "snapshot" else event.before
        if before is None:
            return
        differing: tuple[str, ...] | None = None
        for place in reversed(range(len(self._rows))):
            found = self._facts.differing(self._rows[place][1], before)
            if found == ():
                del self._rows[place]
                return
            differing = differing or found
        if differing is None:
            verb = "finds" if event.verb == "snapshot" else "begins with"
            yield from self._finding("break", (), last, event, f"{event} {verb} a row where {last} left none")
            return
        source, _ = self._rows.pop()
        message = f"{event} begins with other values of {_listed(differing)} than {source} left"
        yield from self._finding("break", differing, source, event, message)

    def _settle(self) -> Iterator[Finding]:
        """At the end of a transaction, one row has the key."""
        while len(self._rows) > 1:
            (before, _), (after, _) = self._rows[:2]
            del self._rows[0]
            yield from self._finding("break", (), before, after, f"{after} puts a row where that of {before} still was")

    def _end(self, data: str | None) -> Iterator[Finding]:
        last = self._last
        if not self._rows:
            if data is None:
                return
            if last is not None:
                yield from self._finding("appeared", (), last, None, f"the row is there, and {last} left none")
            elif self._facts.coverage.is_whole:
                yield from self._finding("appeared", (), None, None, "the row is there, and no activity put it there")
            return
        ((source, row),) = self._rows
        if data is None:
            yield from self._finding("vanished", (), source, None, f"the row is gone, and {source} left it there")
        elif differing := self._facts.differing(row, data):
            message = f"the row has other values of {_listed(differing)} than {source} left"
            yield from self._finding("changed", differing, source, None, message)

    def _finding(
        self, kind: Kind, columns: tuple[str, ...], before: Event | None, after: Event | None, message: str
    ) -> Iterator[Finding]:
        facts = self._facts
        if after is not None and facts.since is not None and after.issued_at < facts.since:
            return
        name = facts.audited.table.fullname
        if explanation := facts.coverage.explanation(before, after):
            kind, message = "unrecorded", f"{message}; {explanation}"
        else:
            message += facts.coverage.gap(before, after)
        ids = (None if before is None else before.id, None if after is None else after.id)
        yield Finding(kind, name, self._key, columns, *ids, f"{name} {self._key}: {message}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))
