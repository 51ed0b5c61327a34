"""What all views have: what they ask with, and how they answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from audit_core import AuditLog, HistoryError
from audit_core.siblings import parse_actor, scope_of
from flask import render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Select
from sqlalchemy.orm import Session

from .connections import Connections
from .documents import json_answer, time_text, wants_json
from .filters import number
from .naming import Names
from .presentation import Presentation, error_text, here
from .repeated import REMEMBERED


class Answering:
    """Views of one logger in one app."""

    def __init__(self, logger: AuditLog, connections: Connections, presentation: Presentation) -> None:
        self.logger = logger
        self.scope = scope_of(logger)
        self.connections = connections
        self.presentation = presentation

    def named(self, own: Session, activities: Sequence[Any], actors: Sequence[Any] = ()) -> Names:
        """Load the names that some activities need."""
        names = self.presentation.start()
        keys = [each.transaction.actor_id for each in activities if each.transaction is not None]
        names.load(own, [*keys, *actors], activities)
        return names

    def history_asked(self, table: Any, key: Any) -> Select[Any]:
        """Select the history of a record, with who looked at it only when asked to."""
        query = self.logger.history(table, key)
        return query if request.args.get("reads") else query.where(self.logger.activity_cls.verb != "read")

    def actors_meant(self, own: Session, names: Names, text: str | None) -> Sequence[tuple[Any, str]]:
        """Find the actors that a text means: the one with this key, or those with such a name."""
        if text is None:
            return []
        try:
            key = parse_actor(self.scope, text)
        except HistoryError as error:
            found = names.find_actors(own, text)
            if not found:
                raise HistoryError(f"{error_text(error).rstrip('.')}; and no actor has such a name.") from None
            return found
        if isinstance(key, str):
            found = names.find_actors(own, text)
            return [] if text in {str(each) for each, _ in found} else found
        return []

    def error(self, status: int, title: str, said: str) -> ResponseReturnValue:
        """Answer with a page that says what is wrong."""
        return self.answer("error.html", lambda: {"error": said}, status, title=title, error=said)

    def answer(
        self, template: str, document: Callable[[], dict[str, Any]], status: int = 200, **values: Any
    ) -> ResponseReturnValue:
        """Answer with a template or, to a program, with a document."""
        if wants_json():
            error = values.get("error")
            return json_answer({"error": error} if error else document(), status)
        return render_template(f"audit_logger/{template}", **values), status


def next_page(after: int | None, **more: Any) -> dict[str, Any]:
    """Describe where the next page begins."""
    return {"after": after, "next": None if after is None else here(after=after, **more)}


def argument(name: str) -> str:
    """Return an argument of the address.

    :raises HistoryError: if it is not there.
    """
    if name not in request.args:
        raise HistoryError(f"{name!r} is missing in the address.")
    return request.args[name]


def asked_after() -> int | None:
    """Return the activity after which the page begins that is asked for."""
    return number(request.args["after"], "after") if request.args.get("after") else None


def asked_listed() -> list[int]:
    """Return the large transactions that the pages before have listed, as the link to this one says."""
    return [number(each, "listed") for each in request.args.get("listed", "").split(",")[-REMEMBERED:] if each]


def utc_now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def plain_value(value: Any) -> Any:
    """Write a value as JSON has it, or as a text."""
    if value is None or isinstance(value, (bool, int, str, dict, list)):
        return value
    return time_text(value) if isinstance(value, dt.datetime) and value.tzinfo else str(value)
