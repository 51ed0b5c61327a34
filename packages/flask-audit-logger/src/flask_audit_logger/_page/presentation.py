"""What the templates ask for: names of tables and actors, values as text, addresses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from audit_core import AuditError, AuditLog
from audit_core.siblings import LAST_ID, VERBS, Budget, Scope, audited_tables, for_people, headline, scope_of, table_of
from flask import request
from sqlalchemy.exc import DataError

from . import sentences
from .access import Access, csrf_token
from .days import Day
from .differences import Difference, binary_columns, differences, text_of
from .filters import field_time
from .loading import is_digest, is_loaded
from .naming import Names, Naming
from .rows import LONGEST, in_rows
from .zones import Zone, Zones


@dataclass(frozen=True)
class Presentation:
    """How one trail is shown."""

    log: AuditLog
    access: Access
    naming: Naming
    zones: Zones
    #: Returns the session of the application.
    session: Callable[[], Any]

    @property
    def scope(self) -> Scope:
        return scope_of(self.log)

    def start(self) -> Names:
        """Return the names of one answer, which are to be loaded."""
        return Names(self.log, self.naming, self.session)

    def names(self) -> dict[str, Any]:
        """Return the names that all templates know."""
        budget, now, zone = Budget(), dt.datetime.now(dt.timezone.utc), self.zones.of_reader()
        found: dict[int, list[Difference]] = {}

        def differences_of(activity: Any) -> list[Difference]:
            # Asked for twice where rows could have stood in a table; the steps are those of the page.
            if activity.id not in found:
                found[activity.id] = list(self._differences(activity, budget))
            return found[activity.id]

        return {
            "differences": differences_of,
            "longest": LONGEST,
            "in_rows": lambda each: in_rows(self.scope, each, differences_of),
            "beside_sentence": beside_sentence,
            "subject_of_event": self._subject_of_event,
            "is_digest": is_digest,
            "is_loaded": is_loaded,
            "said": said_beside,
            "text_of": text_of,
            "table_name_of": self._table_name,
            "sentence": sentences.sentence,
            "sentence_of": sentences.of_activity,
            "sentence_of_rows": sentences.of_rows,
            "record_text": sentences.record_text,
            "witness": sentences.witness,
            "ago": lambda when: sentences.ago(when, now, zone),
            "request_of": _request_of,
            "reason_of": reason_of,
            "undoes_of": undoes_of,
            "may_undo": self.access.may_undo,
            "csrf": csrf_token,
            "here": here,
            "chart_top": chart_top,
            "zone": zone,
            "in_zone": in_zone(zone),
            "field_time": field_time,
            "instant": instant,
            "day_of": lambda when: zone.local(when).date(),
            "today": zone.local(now).date(),
            "week_ago": zone.local(now).date() - dt.timedelta(days=6),
            "verbs": VERBS,
        }

    def tables(self) -> dict[str, str]:
        """Return the audited tables by their names, with what the application calls their rows."""
        given = {name: self.naming.table(name, 2) for name in sorted(self._audited())}
        return {name: f"{called} ({name})" if called else name for name, called in given.items()}

    def _audited(self) -> set[str]:
        return {table.fullname for table, _ in audited_tables(self.scope.metadata)}

    def columns(self, name: str | None) -> list[str]:
        """Return the columns of a table, or of all."""
        tables = [table for table, _ in audited_tables(self.scope.metadata)]
        chosen = [table for table in tables if name in (None, table.fullname, table.name)]
        return sorted({column.name for table in chosen for column in table.columns})

    def _differences(self, activity: Any, budget: Budget) -> Iterator[Difference]:
        table = table_of(self.scope, activity.schema, activity.table_name)
        columns = () if table is None else table.columns
        binary = set() if table is None else binary_columns(table)
        order = {each.name: place for place, each in enumerate(columns)}
        recorded = (for_people(each, activity.erased) for each in (activity.old_data, activity.changed_data))
        old, new = (_in_order(each, order) for each in recorded)
        return differences(old, new, activity.verb, binary, budget)

    def _subject_of_event(self, activity: Any) -> tuple[str, str] | None:
        """Return the audited table and the key of what an event is about."""
        target = activity.changed_data.get("target") if isinstance(activity.changed_data, dict) else None
        if activity.verb != "event" or not isinstance(target, dict):
            return None
        name, key = (target.get(each) for each in ("table", "key"))
        name = f"{target['schema']}.{name}" if "schema" in target else name
        is_there = isinstance(name, str) and isinstance(key, str) and name in self._audited()
        return (str(name), str(key)) if is_there else None

    def _table_name(self, activity: Any) -> str | None:
        table = table_of(self.scope, activity.schema, activity.table_name)
        return None if table is None else table.fullname


def _in_order(data: Any, order: Mapping[str, int]) -> dict[str, Any]:
    """Put recorded columns in the order of the model: that of jsonb is by length."""
    data = data if isinstance(data, dict) else {}
    return {name: data[name] for name in sorted(data, key=lambda name: (order.get(name, len(order)), name))}


def error_text(error: AuditError | DataError) -> str:
    """Describe what went wrong in one line."""
    return str(error) if isinstance(error, AuditError) else headline(error)


def beside_sentence(activity: Any) -> Any:
    """Return what was recorded of what is no change of a row, beside what its sentence says."""
    data = activity.changed_data
    said = {"truncate": ("rows",), "event": ("event", "target")}.get(activity.verb, ())
    return {name: value for name, value in data.items() if name not in said} if isinstance(data, dict) else data


def value_text(value: Any) -> str:
    """Write a value of a column."""
    return text_of(value) if value is None or isinstance(value, (bool, dict, list)) else str(value)


def said_beside(meta: Any) -> list[tuple[str, Any]]:
    """Return the pairs of ``meta``, which is not an object if somebody wrote it by hand."""
    if not isinstance(meta, dict):
        return [] if meta is None else [("meta", meta)]
    return [(name, value) for name, value in meta.items() if name != "reason"]


def reason_of(transaction: Any) -> str | None:
    """Return why a transaction was made, as the application says."""
    reason = transaction.meta.get("reason") if transaction is not None and isinstance(transaction.meta, dict) else None
    return None if reason is None else text_of(reason)


def undoes_of(transaction: Any) -> int | None:
    """Return the transaction that another one takes back, as this one says."""
    said = transaction.meta.get("undoes") if transaction is not None and isinstance(transaction.meta, dict) else None
    return said if isinstance(said, int) and not isinstance(said, bool) and 0 < said <= LAST_ID else None


def chart_top(days: Sequence[Day]) -> int:
    """Return a round number that no day exceeds."""
    most = max((each.count for each in days), default=0)
    size: int = 10 ** max(len(str(most)) - 1, 0)
    return max(next(size * step for step in (1, 2, 5, 10) if size * step >= most), 2)


def instant(when: dt.datetime) -> str:
    """Write an instant for an address, where it means the same in each zone."""
    return when.astimezone(dt.timezone.utc).replace(tzinfo=None).isoformat() + "Z"


def in_zone(zone: Zone) -> dict[str, str]:
    """Return the argument that says of which zone the times of an address are."""
    return {} if zone.is_utc else {"zone": zone.name}


def here(**changed: Any) -> str:
    """Return the address of this view, with some arguments changed."""
    asked = {**request.args, **changed}
    query = urlencode({name: value for name, value in asked.items() if value not in (None, "")})
    path = quote(request.script_root + request.path)
    return f"{path}?{query}" if query else path


def _request_of(transaction: Any) -> dict[str, str] | None:
    """Return the filters that find what the same request did."""
    meta = transaction.meta if transaction is not None and isinstance(transaction.meta, dict) else {}
    if not isinstance(meta.get("request_id"), str):
        return None
    around = [transaction.issued_at.astimezone(dt.timezone.utc) + sign * dt.timedelta(hours=1) for sign in (-1, 1)]
    since, until = (each.strftime("%Y-%m-%dT%H:%M") for each in around)
    return {"request_id": meta["request_id"], "since": since, "until": until}
