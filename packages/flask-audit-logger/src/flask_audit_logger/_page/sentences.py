"""What a transaction did, in a sentence."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from audit_core.siblings import for_people

from .differences import text_of
from .entries import Entry, Group
from .loading import is_loaded
from .naming import Names
from .zones import Zone

#: What each verb did to a row.
VERBS = {
    "insert": "added",
    "update": "changed",
    "delete": "deleted",
    "snapshot": "recorded the state of",
    "read": "looked at",
}
#: What the others did.
_OF_TABLES = {"truncate": "emptied", "bypass": "wrote past the trail to"}
#: So much of a value stands in a sentence.
_LONGEST = 40
_GROUPS, _COLUMNS = 3, 4


@dataclass(frozen=True)
class Part:
    """A part of a sentence; its kind says how it looks, and what it leads to."""

    kind: Literal["text", "record", "old", "new"]
    text: str
    activity: Any = None


def sentence(entry: Entry, names: Names) -> list[Part]:
    """Say what a transaction did."""
    parts: list[Part] = []
    shown = entry.groups[:_GROUPS]
    said = ""
    for place, group in enumerate(shown):
        if place:
            parts.append(Part("text", " and " if place == len(shown) - 1 and len(shown) == len(entry.groups) else ", "))
        own = _of_group(entry, group, names, is_alone=len(entry.groups) == 1)
        verb = VERBS.get(group.verb, "")
        if verb and verb == said and own[0].text.startswith(f"{verb} "):
            # "added 3 articles and 2 tags": the verb is said once.
            own = [Part(own[0].kind, own[0].text.removeprefix(f"{verb} "), own[0].activity), *own[1:]]
        parts += own
        said = verb
    rest = entry.groups[_GROUPS:]
    if rest:
        count = sum(group.count for group in rest)
        parts.append(Part("text", f" and {count:,} other {'change' if count == 1 else 'changes'}"))
    return parts


def plain(parts: Iterable[Part]) -> str:
    """Write a sentence as a text."""
    return "".join(f" → {part.text}" if part.kind == "new" else part.text for part in parts)


def of_activity(activity: Any, names: Names, *, with_values: bool = True) -> list[Part]:
    """Say what one activity did."""
    verb = VERBS.get(activity.verb)
    if verb is None or activity.row_key is None:
        return _without_record(activity.verb, activity.schema, activity.table_name, 1, names, activity)
    parts = [Part("text", f"{verb} ")]
    columns = names.in_order(activity, changed_columns(activity) or ())
    values = _values(activity, columns[0], names) if with_values and len(columns) == 1 else []
    if activity.verb == "update" and columns:
        parts.append(Part("text", f"{_listed([names.column_of(activity, each) for each in columns])} of "))
    parts.append(Part("record", record_text(activity, names), activity))
    return parts + values if activity.verb == "update" else parts


def of_rows(activities: Sequence[Any], names: Names) -> str:
    """Say what several activities did that each did the same to a row of one table."""
    first = activities[0]
    columns = names.in_order(first, changed_columns(first) or ()) if first.verb == "update" else ()
    changed = f"{_listed([names.column_of(first, each) for each in columns])} of " if columns else ""
    return f"{VERBS[first.verb]} {changed}{names.table(first.schema, first.table_name, len(activities))}"


def record_text(activity: Any, names: Names) -> str:
    """Return what to call the record of an activity: its table, its key, its name."""
    return row_text(activity.schema, activity.table_name, activity.row_key, names)


def row_text(schema: str, table_name: str, row_key: str | None, names: Names) -> str:
    """Return what to call a record by its table and its key, and its name if that is loaded."""
    text = f"{names.table(schema, table_name)} {_cut(row_key or '')}".strip()
    name = names.record_of(schema, table_name, row_key)
    return f"{text}, {name}" if name else text


def changed_columns(activity: Any) -> list[str] | None:
    """Return the columns that an update changed; None if they are not loaded."""
    if not is_loaded(activity) or not isinstance(activity.changed_data, dict):
        return None
    return list(activity.changed_data)


def witness(transaction: Any) -> str:
    """Say who it was as the server saw it, where the application named nobody."""
    if transaction is None:
        return "unknown"
    db_user, application = transaction.db_user, transaction.application_name
    if not db_user:
        return f"unknown, by {application}" if application else "unknown"
    return f"{db_user} from {application}" if application else str(db_user)


def ago(when: dt.datetime, now: dt.datetime, zone: Zone) -> str:
    """Say how long ago something was, as people do."""
    seconds = (now - when).total_seconds()
    if seconds < 60:
        return "just now" if seconds > -60 else _day(when, zone)
    for size, most, unit in ((60, 60, "minute"), (3600, 24, "hour"), (86400, 14, "day")):
        count = int(seconds // size)
        if count < most:
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return _day(when, zone)


def _day(when: dt.datetime, zone: Zone) -> str:
    return zone.local(when).strftime("%d %b %Y").lstrip("0")


def _of_group(entry: Entry, group: Group, names: Names, *, is_alone: bool) -> list[Part]:
    own = [
        each
        for each in entry.activities
        if (each.schema, each.table_name, each.verb) == (group.schema, group.table_name, group.verb)
    ]
    if group.count == 1 and own and entry.is_counted:
        if is_alone:
            return of_activity(own[0], names)
        if group.verb in VERBS and own[0].row_key is not None:
            return [Part("text", f"{VERBS[group.verb]} "), Part("record", record_text(own[0], names), own[0])]
    least = "" if entry.is_counted else "at least "
    if group.verb not in VERBS or (own and own[0].row_key is None):
        activity = own[0] if own else None
        return _without_record(group.verb, group.schema, group.table_name, group.count, names, activity)
    table = names.table(group.schema, group.table_name, group.count)
    text = f"{VERBS[group.verb]} {least}{group.count:,} {table}"
    columns = {
        tuple(names.column_of(each, name) for name in names.in_order(each, changed_columns(each) or ())) for each in own
    }
    if group.verb == "update" and group.count <= len(own) and len(columns) == 1 and (same := columns.pop()):
        text = f"changed {_listed(same)} of {group.count:,} {table}"
    return [Part("text", text)]


def _without_record(verb: str, schema: str, table_name: str, count: int, names: Names, activity: Any) -> list[Part]:
    table = names.table(schema, table_name, 2)
    if verb in _OF_TABLES:
        lost = activity.changed_data if count == 1 and activity is not None and is_loaded(activity) else None
        rows = lost.get("rows") if verb == "truncate" and isinstance(lost, dict) else None
        counted = f" ({rows:,} {'row' if rows == 1 else 'rows'})" if isinstance(rows, int) else ""
        return [Part("text", f"{_OF_TABLES[verb]} {table}{counted}")]
    if verb == "maintenance":
        return [Part("text", "maintained the trail")]
    if verb == "event":
        return [Part("text", _event(activity) if count == 1 else f"{count:,} events")]
    if verb == "read":
        asked = activity.changed_data if activity is not None and is_loaded(activity) else None
        place = _view(asked) if isinstance(asked, dict) else "the log" if table_name == "activity" else table
        return [Part("text", f"looked at {place}" + ("" if count == 1 else f" {count:,} times"))]
    return [Part("text", f"{VERBS.get(verb, verb)} {count:,} {names.table(schema, table_name, count)}")]


def _view(asked: dict[str, Any]) -> str:
    """Say what somebody looked at who did not ask for a record."""
    view = str(asked.get("view")).rpartition(".")[2].replace("_", " ")
    if "transaction" in asked and view != "log":
        beside = "" if view == "transaction" else f" ({view})"
        return f"transaction {_cut(text_of(asked['transaction']))}{beside}"
    if view == "actor":
        return f"what actor {_cut(text_of(asked.get('actor')))} did"
    if view == "coverage":
        return "what is recorded"
    return {"log": "the log", "export": "the log, as a file"}.get(view, f"the trail ({_cut(view)})")


def _event(activity: Any) -> str:
    """Say what happened, and to what."""
    said = activity.changed_data if activity is not None and is_loaded(activity) else None
    if not isinstance(said, dict):
        return "recorded an event"
    target = said.get("target")
    about = f" ({target.get('table')} {_cut(str(target.get('key')))})" if isinstance(target, dict) else ""
    return f"{_cut(str(said.get('event')))}{about}"


def _values(activity: Any, column: str, names: Names) -> list[Part]:
    old, new = (for_people(each, activity.erased) for each in (activity.old_data, activity.changed_data))
    if not isinstance(old, dict) or column not in old:
        return []
    named = names.referred(activity, column)
    called = [each.name if each else None for each in named]
    if called[0] == called[1]:
        # Two of the same name are told apart by their keys.
        called = [each.text if each else None for each in named]
    before, after = (name or _value(each[column]) for name, each in zip(called, (old, new), strict=True))
    return [Part("text", ": "), Part("old", before), Part("new", after)]


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    return _cut(" ".join(text_of(value).split())) or "(empty)"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:_COLUMNS])
    if len(names) > _COLUMNS:
        return f"{', '.join(shown)} and {len(names) - _COLUMNS} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
