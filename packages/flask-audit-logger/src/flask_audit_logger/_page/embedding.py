"""The history of an object, for the application's own templates."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from audit_core import ConfigurationError, HistoryError
from flask import render_template
from markupsafe import Markup
from sqlalchemy import inspect

from . import queries
from .connections import Connections
from .presentation import Presentation, reason_of
from .sentences import ago, of_activity, plain, witness

#: Changes of a record that a template of the application gets.
_SHOWN = 20


@dataclass(frozen=True)
class HistoryLine:
    """One change of a record, as people read it."""

    issued_at: dt.datetime
    #: As people say it: "2 hours ago".
    ago: str
    #: The name of the actor; as the server saw it where there is none.
    who: str
    what: str
    reason: str | None
    transaction_id: int
    verb: str


@dataclass(frozen=True)
class Embedding:
    """The functions that templates of the application get from one page."""

    presentation: Presentation
    connections: Connections
    #: The name of the blueprint.
    name: str

    def has(self, obj: Any) -> bool:
        """Return whether the trail is that of the object."""
        state = inspect(obj, raiseerr=False)
        return state is not None and state.mapper.local_table.metadata is self.presentation.scope.metadata

    def history_of(self, obj: Any, limit: int = _SHOWN) -> list[HistoryLine]:
        """Return the last changes of an object, newest first."""
        log = self.presentation.log
        query = log.history(obj).where(log.activity_cls.verb != "read")
        with self.connections.reading_unrecorded() as own:
            activities = queries.record_page(log, own, query, None).activities[:limit]
            names = self.presentation.start()
            actors = [each.transaction.actor_id for each in activities if each.transaction is not None]
            names.load(own, actors, activities)
            now, zone = dt.datetime.now(dt.timezone.utc), self.presentation.zones.of_reader()
            return [
                HistoryLine(
                    each.issued_at,
                    ago(each.issued_at, now, zone),
                    witness(each.transaction)
                    if each.transaction is None or each.transaction.actor_id is None
                    else names.actor(each.transaction.actor_id),
                    plain(of_activity(each, names)),
                    reason_of(each.transaction),
                    each.transaction_id,
                    each.verb,
                )
                for each in activities
            ]


@dataclass(frozen=True)
class Embeddings:
    """Those of all pages of an app, of which the one with the object's trail is taken."""

    pages: list[Embedding]

    def names(self) -> dict[str, Any]:
        """Return what the application's templates know."""
        return {"history_of": self.history_of, "render_history": self.render_history}

    def history_of(self, obj: Any, limit: int = _SHOWN) -> list[HistoryLine]:
        """Return the last changes of an object, newest first."""
        return self._of(obj).history_of(obj, limit)

    def render_history(self, obj: Any, limit: int = _SHOWN) -> Markup:
        """Render the last changes of an object as a list; links to the page are for those who may see it."""
        page = self._of(obj)
        may_see = bool(page.presentation.access.may_see())
        lines = page.history_of(obj, limit)
        zone = page.presentation.zones.of_reader()
        html = render_template("audit_logger/history.html", lines=lines, page=page.name, may_see=may_see, zone=zone)
        return Markup(html)

    def _of(self, obj: Any) -> Embedding:
        if inspect(obj, raiseerr=False) is None or isinstance(obj, type):
            raise HistoryError(f"{obj!r} is not an object of a mapped class. Give history_of() an object.")
        for page in self.pages:
            if page.has(obj):
                return page
        raise ConfigurationError(f"No page of this app has the trail of {type(obj).__name__!r}. Call init_page().")
