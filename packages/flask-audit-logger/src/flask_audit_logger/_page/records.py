"""The views of one record."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from audit_core import HistoryError
from audit_core.siblings import find_table, parse_key, row_as_of, why_unknown
from flask import request
from flask.typing import ResponseReturnValue
from sqlalchemy import JSON
from sqlalchemy.orm import Session

from . import queries
from .answering import Answering, argument, asked_after, next_page, plain_value, utc_now
from .belonging import COUNTED, Belonging, belonging_to
from .differences import binary_columns, cut, describe_bytes
from .documents import activity_document, belonging_document, key_value, state_document, time_text, wants_json
from .filters import moment, number
from .loading import STATES, is_digest
from .presentation import error_text, value_text
from .referring import Named
from .sentences import row_text
from .states import State, compare_states, read_states, recorded_row

#: What stands in an address for the state of now.
_NOW = "now"
#: The types of values whose text is the one that is recorded.
_PLAIN = (bool, int, str, Decimal, dt.date, dt.datetime, uuid.UUID)


class RecordViews(Answering):
    """What happened to a record, and how it was."""

    def show_record(self) -> ResponseReturnValue:
        name, row_key = argument("table"), argument("key")
        table = find_table(self.scope, name)
        key = parse_key(table, row_key)
        query = self.history_asked(table, key)
        column = request.args.get("column") or None
        of_column = None if column is None else self.logger.activities(table=table, column=column)
        with self.connections.reading({} if column is None else {"column": column}, name, row_key) as own:
            if of_column is None:
                page = queries.record_page(self.logger, own, query, asked_after())
            else:
                page = queries.record_page_of_column(self.logger, own, query, of_column, asked_after())
            names = self.named(own, page.activities)
            place = _schema_and_name(page.activities, table)
            if of_column is not None and not page.activities:
                names.load(own, rows=[(*place, row_key)])
            called = names.record(page.activities[0]) if page.activities else names.record_of(*place, row_key)
            states = [each for each in page.activities if each.verb in STATES]
            belonging: list[Belonging] = []
            # What has a column may not be the last change, which says what the record belongs to.
            if asked_after() is None and of_column is None:
                last = states[0] if states else None
                # The key that it has now.
                now = key
                if last is not None and last.row_key != row_key and not is_digest(last.row_key):
                    now = parse_key(table, last.row_key)
                belonging = belonging_to(self.logger, own, table, now, last)
                own_rows = [row for each in belonging for row in each.rows]
                names.load(own, rows=[(row.schema, row.table_name, row.row_key) for row in own_rows])

            def document() -> dict[str, Any]:
                changes = [activity_document(each, names) for each in page.activities]
                record = {"table": name, "row_key": row_key, "name": called}
                related = belonging_document(belonging, names)
                partial = {} if of_column is None else {"is_partial": page.is_partial}
                return {**record, **related, "activities": changes, **partial, **next_page(page.after)}

            title = f"{names.table(*place)} {row_key}"
            return self.answer(
                "record.html",
                document,
                table=name,
                key=row_key,
                page=page,
                names=names,
                title=title,
                called=called,
                states=states,
                belonging=belonging,
                most=COUNTED,
                columns=[each.name for each in table.columns],
                column=column,
            )

    def show_as_of(self) -> ResponseReturnValue:
        name, row_key = argument("table"), argument("key")
        table: Any = find_table(self.scope, name)
        key = parse_key(table, row_key)
        zone = self.presentation.zones.asked()
        names, place = self.presentation.start(), _schema_and_name((), table)
        shown: dict[str, Any] = {"table": name, "key": row_key, "title": "State at a time", "asked_zone": zone}
        shown["subject"] = lambda: row_text(*place, row_key, names)
        if not request.args.get("when"):
            if wants_json():
                raise HistoryError("'when' is missing in the address.")
            now = zone.local(utc_now()).replace(tzinfo=None)
            return self.answer("as_of.html", dict, **shown, when=now.isoformat(timespec="seconds"))
        when = moment(request.args["when"], "when", zone)
        # The field takes milliseconds; rounded down, the time would be before the change that it comes from.
        shown["when"] = _up_to_milliseconds(zone.local(when))
        try:
            with self.connections.reading({"when": when.isoformat()}, name, row_key) as own:
                found, notes = row_as_of(self.scope, own.connection(), table, key, when)
                row = None if found is None else self._as_recorded(own, table, found, when)
                keys = {} if row is None else {each.name: key_value(row[each.key]) for each in table.columns}
                names.load(own, rows=[(*place, row_key)], values=[(*place, keys)])
        except HistoryError as error:
            said = error_text(error)
            return self.answer("as_of.html", lambda: {"error": said}, 400, **shown, error=said)
        values: list[tuple[Any, ...]] = []
        if row is not None:
            binary = binary_columns(table)
            for each in table.columns:
                value = row[each.key]
                text = describe_bytes(value) if value is not None and each.name in binary else value
                shown_value = _shown(text, why_unknown(each.name, notes))
                named = names.called(*place, keys, each.name)
                values.append((each.name, *shown_value, named, names.column(*place, each.name, [named])))

        def document() -> dict[str, Any]:
            state = None if row is None else {each.name: plain_value(row[each.key]) for each in table.columns}
            return {"table": name, "row_key": row_key, "when": time_text(when), "row": state, "notes": list(notes)}

        return self.answer("as_of.html", document, **shown, moment=when, row=row, notes=notes, values=values)

    def _as_recorded(self, own: Session, table: Any, row: Any, when: dt.datetime) -> dict[str, Any]:
        """Take what is no plain value as it is recorded: Python's floats have fewer digits, and bytes no text."""
        values = {each.key: row[each.key] for each in table.columns}
        # What is masked is not known, and is no text of three asterisks.
        known = [each for each in table.columns if values[each.key] is not None]
        others = [each for each in known if isinstance(each.type, JSON) or type(values[each.key]) not in _PLAIN]
        if others:
            _, recorded = recorded_row(self.logger, own, row, when)
            for each in others:
                if recorded and each.name in recorded:
                    values[each.key] = recorded[each.name]
                elif not isinstance(each.type, JSON):
                    # Too long to be loaded as it is recorded.
                    values[each.key] = _text(values[each.key])
        return values

    def show_comparison(self) -> ResponseReturnValue:
        name, row_key = argument("table"), argument("key")
        table: Any = find_table(self.scope, name)
        key = parse_key(table, row_key)
        asked = [_choice(each) for each in ("a", "b")]
        if asked[0] == asked[1]:
            raise HistoryError("Both states are the same one. Choose two different ones.")
        with self.connections.reading({"a": asked[0] or _NOW, "b": asked[1] or _NOW}, name, row_key) as own:
            picked = queries.states_of(self.logger, own, self.logger.history(table, key), asked)
            if None in picked:
                return self._no_change(asked[picked.index(None)])
            states = read_states(self.logger, own, table, (key, row_key), list(zip(asked, picked, strict=True)))
            before, after = states
            found = compare_states(table, before, after)
            names, place = self.named(own, picked), _schema_and_name(picked, table)
            rows = [(*place, each.row) for each in states if each.row is not None]
            names.load(own, rows=[(*place, row_key)], values=rows)

            def document() -> dict[str, Any]:
                return {
                    "table": name,
                    "row_key": row_key,
                    "before": state_document(before),
                    "after": state_document(after),
                    "differing": found.columns,
                    "unknown": [each for each, *_ in found.unknown],
                    "same": [each for each, _ in found.same],
                    "is_same_moment": before.when == after.when,
                }

            shown: dict[str, Any] = {"table": name, "key": row_key, "names": names, "states": states, "found": found}
            shown["subject"] = lambda: row_text(*place, row_key, names)

            def called(state: State, column: str) -> Named | None:
                return None if state.row is None else names.called(*place, state.row, column)

            shown["called"] = called
            shown["column"] = lambda column: names.column(*place, column, [called(each, column) for each in states])
            return self.answer("compare.html", document, **shown, title="Two states side by side")

    def _no_change(self, id_: int | None) -> ResponseReturnValue:
        said = f"Activity {id_} is not a change of this record."
        return self.error(404, "That cannot be shown", "Nothing is recorded of this record." if id_ is None else said)


def _shown(value: Any, why_unknown: str | None) -> tuple[str, str]:
    """Write a value and a note: one that is not known is not "null", which would be one."""
    return ("", why_unknown) if value is None and why_unknown else cut(value_text(value))


def _text(value: Any) -> str:
    return f"\\x{bytes(value).hex()}" if isinstance(value, (bytes, bytearray, memoryview)) else str(value)


def _choice(name: str) -> int | None:
    """Read which state is asked for: that after an activity, or None for now."""
    text = argument(name)
    return None if text == _NOW else number(text, name)


def _schema_and_name(activities: Sequence[Any], table: Any) -> tuple[str, str]:
    return (activities[0].schema, activities[0].table_name) if activities else (table.schema or "public", table.name)


def _up_to_milliseconds(when: dt.datetime) -> str:
    rounded = when + dt.timedelta(microseconds=-when.microsecond % 1000)
    return rounded.replace(tzinfo=None).isoformat(timespec="milliseconds")
