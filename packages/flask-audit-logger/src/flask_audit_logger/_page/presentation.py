"""What the templates ask for: names of tables and actors, values as text, addresses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from audit_core import AuditError
from audit_core.siblings import VERBS, Scope, audited_tables, headline, table_of
from flask import request, url_for
from sqlalchemy.exc import DataError

from .access import Access, csrf_token
from .differences import differences, text_of


@dataclass(frozen=True)
class Presentation:
    """How one trail is shown."""

    scope: Scope
    access: Access
    #: Returns what an actor is called; None for the primary key alone.
    actor_name: Callable[[Any], str | None] | None

    def names(self) -> dict[str, Any]:
        """Return the names that all templates know."""
        return {
            "differences": lambda each: differences(each.old_data, each.changed_data, each.verb),
            "said": _said_beside,
            "text_of": text_of,
            "table_name_of": self._table_name,
            # A page names few actors many times, and a name may take a query.
            "actor_label": cache(self.actor_label),
            "may_undo": self.access.may_undo,
            "csrf": csrf_token,
            "here": _here,
            "utc": dt.timezone.utc,
            "verbs": VERBS,
            "tables": sorted(table.fullname for table, _ in audited_tables(self.scope.metadata)),
        }

    def actor_label(self, key: Any) -> str:
        """Return the name and the primary key of an actor."""
        name = None if self.actor_name is None else self.actor_name(key)
        return str(key) if name is None else f"{name} ({key})"

    def _table_name(self, activity: Any) -> str | None:
        table = table_of(self.scope, activity.schema, activity.table_name)
        return None if table is None else table.fullname


def error_text(error: AuditError | DataError) -> str:
    """Describe what went wrong in one line."""
    return str(error) if isinstance(error, AuditError) else headline(error)


def value_text(value: Any) -> str:
    """Write a value of a column."""
    return text_of(value) if value is None or isinstance(value, (bool, dict, list)) else str(value)


def _said_beside(meta: Any) -> list[tuple[str, Any]]:
    """Return the pairs of ``meta``, which is not an object if somebody wrote it by hand."""
    return [] if meta is None else list(meta.items()) if isinstance(meta, dict) else [("meta", meta)]


def _here(**changed: Any) -> str:
    """Return the address of this view, with some arguments changed."""
    asked = {**request.args, **(request.view_args or {}), **changed}
    return url_for(request.endpoint or "", **{name: value for name, value in asked.items() if value is not None})
