"""The views: what is asked, what is read, and the template or the JSON that shows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from audit_core import AuditLog, HistoryError, UndoConflictError, audit_context
from audit_core.siblings import find_table, parse_actor, parse_key, row_as_of, scope_of, sealed_in
from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.orm import Session

from . import queries
from .access import require_csrf_token
from .connections import Connections
from .differences import cut
from .documents import (
    activity_document,
    counts_document,
    entry_document,
    json_answer,
    key_value,
    time_text,
    transaction_document,
    wants_json,
)
from .entries import EntryPage, count_changes, log_entries
from .filters import arguments, given, moment, number
from .loading import transactions_of
from .naming import Names
from .presentation import Presentation, error_text, here, value_text
from .zones import Zone

#: The most changes that are taken back, or rehearsed, in a browser.
UNDO_LIMIT = 1000
#: What a transaction did is counted up to here.
_COUNTED = 10_000
_CANCELED = "57014"


class Views:
    """The views of one logger in one app."""

    def __init__(self, logger: AuditLog, connections: Connections, presentation: Presentation) -> None:
        self.logger = logger
        self.scope = scope_of(logger)
        self.connections = connections
        self.presentation = presentation

    def show_log(self) -> ResponseReturnValue:
        fields = given(request.args)
        after = _after()
        with self.connections.reading(fields) as own:
            names = self.presentation.start()
            actors = names.offered_actors(own)
            try:
                found = self._actors(own, names, fields.get("actor"))
                if len(found) > 1:
                    return self._log(own, names, fields, EntryPage(), "Log", actors=actors, which=found)
                if found:
                    fields["actor"] = str(found[0][0])
                filters = arguments(self.logger, fields, self.presentation.zones.asked())
                names.load(own, [filters.get("actor")])
                page = log_entries(self.logger, own, filters, after)
                is_plain = not fields and after is None
                zone = self.presentation.zones.of_reader()
                days = queries.days(self.logger, own, _now(), zone) if is_plain else None
            except (HistoryError, DataError) as error:
                own.rollback()
                return self._log(
                    own, names, fields, EntryPage(), "Log", status=400, error=error_text(error), actors=actors
                )
            return self._log(own, names, fields, page, "Log", actors=actors, days=days)

    def show_actor(self) -> ResponseReturnValue:
        actor = parse_actor(self.scope, _argument("id"))
        with self.connections.reading({"actor": str(actor)}) as own:
            names = self.presentation.start()
            names.load(own, [actor])
            page = log_entries(self.logger, own, {"actor": actor}, _after())
            title = f"Actor {names.actor_with_key(actor)}"
            return self._log(own, names, {"actor": str(actor)}, page, title, actor=actor)

    def _asked_zone(self) -> Zone:
        """Return the zone of the form, which shows a wrong one as the error that it is."""
        try:
            return self.presentation.zones.asked()
        except HistoryError:
            return self.presentation.zones.of_reader()

    def _actors(self, own: Session, names: Names, text: str | None) -> Sequence[tuple[Any, str]]:
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

    def _log(
        self,
        own: Session,
        names: Names,
        fields: dict[str, str],
        page: EntryPage,
        title: str,
        status: int = 200,
        error: str | None = None,
        **more: Any,
    ) -> ResponseReturnValue:
        activities = [activity for entry in page.entries for activity in entry.activities]
        actors = [entry.transaction.actor_id for entry in page.entries if entry.transaction is not None]
        names.load(own, actors, activities)

        def document() -> dict[str, Any]:
            return {
                "filters": fields,
                "entries": [entry_document(entry, names) for entry in page.entries],
                "is_partial": page.is_partial,
                "meanwhile": page.meanwhile and here(after=page.meanwhile),
                **_next(page.after),
                # Those whose name the filter may mean.
                "actors": [{"id": key_value(key), "name": name} for key, name in more.get("which", ())],
            }

        shown = {**more, "fields": fields, "page": page, "names": names, "title": title, "error": error}
        shown |= {"tables": self.presentation.tables(), "columns": self.presentation.columns(fields.get("table"))}
        return self._answer("log.html", document, status, **shown, asked_zone=self._asked_zone())

    def show_record(self) -> ResponseReturnValue:
        name, row_key = _argument("table"), _argument("key")
        table = find_table(self.scope, name)
        key = parse_key(table, row_key)
        query = self.logger.history(table, key)
        if not request.args.get("reads"):
            query = query.where(self.logger.activity_cls.verb != "read")
        with self.connections.reading({}, name, row_key) as own:
            page = queries.record_page(self.logger, own, query, _after())
            names = self._named(own, page.activities)
            called = names.record(page.activities[0]) if page.activities else None

            def document() -> dict[str, Any]:
                changes = [activity_document(each, names) for each in page.activities]
                return {"table": name, "row_key": row_key, "name": called, "activities": changes, **_next(page.after)}

            title = f"{names.table(*_schema_and_name(page.activities, table))} {row_key}"
            return self._answer(
                "record.html", document, table=name, key=row_key, page=page, names=names, title=title, called=called
            )

    def show_coverage(self) -> ResponseReturnValue:
        name = request.args.get("table") or None
        fields = {} if name is None else {"table": name}
        with self.connections.reading({"coverage": True, **fields}) as own:
            events = own.execute(self.logger.coverage(name)).all()

            def document() -> dict[str, Any]:
                rows = [each._mapping.items() for each in events]
                return {"events": [{column: _plain(value) for column, value in row} for row in rows]}

            return self._answer("coverage.html", document, title="What is recorded", table=name, events=events)

    def show_as_of(self) -> ResponseReturnValue:
        name, row_key = _argument("table"), _argument("key")
        table: Any = find_table(self.scope, name)
        key = parse_key(table, row_key)
        zone = self.presentation.zones.asked()
        shown: dict[str, Any] = {"table": name, "key": row_key, "title": "State at a time", "asked_zone": zone}
        if not request.args.get("when"):
            if wants_json():
                raise HistoryError("'when' is missing in the address.")
            now = zone.local(_now()).replace(tzinfo=None)
            return self._answer("as_of.html", dict, **shown, when=now.isoformat(timespec="seconds"))
        when = moment(request.args["when"], "when", zone)
        # The field takes milliseconds; rounded down, the time would be before the change that it comes from.
        shown["when"] = _up_to_milliseconds(zone.local(when))
        try:
            with self.connections.reading({"when": when.isoformat()}, name, row_key) as own:
                row, notes = row_as_of(self.scope, own.connection(), table, key, when)
        except HistoryError as error:
            said = error_text(error)
            return self._answer("as_of.html", lambda: {"error": said}, 400, **shown, error=said)
        values: list[tuple[str, str, str]] = []
        if row is not None:
            values = [(each.name, *cut(value_text(row[each.key]))) for each in table.columns]

        def document() -> dict[str, Any]:
            state = None if row is None else {each.name: _plain(row[each.key]) for each in table.columns}
            return {"table": name, "row_key": row_key, "when": time_text(when), "row": state, "notes": list(notes)}

        return self._answer("as_of.html", document, **shown, moment=when, row=row, notes=notes, values=values)

    def show_transaction(self, id: str) -> ResponseReturnValue:
        return self._transaction(number(id, "transaction"), "transaction.html", "Transaction {}")

    def show_undo(self, id: str) -> ResponseReturnValue:
        return self._transaction(number(id, "transaction"), "undo.html", "Undo transaction {}")

    def _transaction(self, id_: int, template: str, title: str) -> ResponseReturnValue:
        with self.connections.reading({"transaction": id_}) as own:
            transaction = transactions_of(self.logger, own, [id_]).get(id_)
            if transaction is None:
                return self._error(404, "That cannot be shown", f"There is no transaction {id_} in the trail.")
            groups, is_counted = count_changes(self.logger, own, [id_], _COUNTED).get(id_, ([], True))
            count = sum(group.count for group in groups)
            page = queries.transaction_page(self.logger, own, id_, _after(), is_large=count > UNDO_LIMIT)
            names = self._named(own, page.activities, [transaction.actor_id])

            def document() -> dict[str, Any]:
                return {
                    **transaction_document(id_, transaction, names),
                    **counts_document(groups, is_counted),
                    "sealed": None if sealed is None else asdict(sealed),
                    "activities": [activity_document(each, names) for each in page.activities],
                    **({"undo_limit": UNDO_LIMIT} if template == "undo.html" else {}),
                    **_next(page.after),
                }

            counts = {"groups": groups, "is_counted": is_counted, "count": count, "limit": UNDO_LIMIT}
            sealed = sealed_in(own.connection(), self.logger.schema, id_)
            shown = {"id": id_, "transaction": transaction, "page": page, "names": names, "sealed": sealed, **counts}
            return self._answer(template, document, **shown, title=title.format(id_))

    def rehearse_undo(self, id: str) -> ResponseReturnValue:
        require_csrf_token()
        id_ = number(id, "transaction")
        with self.connections.writing() as connection:
            self.connections.record_read(connection, {"transaction": id_})
            queries.limit_time(connection, self.connections.patience)
            plan = self.logger.plan_undo(connection, id_, limit=UNDO_LIMIT)
            connection.rollback()
        return self._answer("rehearsal.html", dict, id=id_, plan=plan, title=f"Undo transaction {id_}")

    def apply_undo(self, id: str) -> ResponseReturnValue:
        require_csrf_token()
        id_ = number(id, "transaction")
        reason = request.form.get("reason", "").strip()
        try:
            with self.connections.writing() as connection, audit_context(**({"reason": reason} if reason else {})):
                queries.limit_time(connection, self.connections.patience)
                undone = self.logger.plan_undo(connection, id_, limit=UNDO_LIMIT).apply()
                connection.commit()
        except UndoConflictError as error:
            return self._error(409, "Nothing was undone", error_text(error))
        target = id_ if undone is None else undone.id
        return redirect(url_for(".transaction", id=target), 303)

    def bad_request(self, error: HistoryError | DataError) -> ResponseReturnValue:
        return self._error(400, "That cannot be shown", error_text(error))

    def too_deep(self, error: RecursionError) -> ResponseReturnValue:
        return self._error(400, "That cannot be shown", "A value is nested more deeply than Python can read.")

    def took_too_long(self, error: DBAPIError) -> ResponseReturnValue:
        """Say that the time for a statement was over; other errors of the database are none of ours."""
        if getattr(error.orig, "sqlstate", None) != _CANCELED and getattr(error.orig, "pgcode", None) != _CANCELED:
            raise error
        seconds = self.connections.patience.total_seconds()
        said = f"The database did not answer within {seconds:g} seconds. Ask for less: a shorter time, or one table."
        return self._error(503, "That takes too long", said)

    def _named(self, own: Session, activities: Sequence[Any], actors: Sequence[Any] = ()) -> Names:
        names = self.presentation.start()
        keys = [each.transaction.actor_id for each in activities if each.transaction is not None]
        names.load(own, [*keys, *actors], activities)
        return names

    def _error(self, status: int, title: str, said: str) -> ResponseReturnValue:
        return self._answer("error.html", lambda: {"error": said}, status, title=title, error=said)

    def _answer(
        self, template: str, document: Callable[[], dict[str, Any]], status: int = 200, **values: Any
    ) -> ResponseReturnValue:
        if wants_json():
            error = values.get("error")
            return json_answer({"error": error} if error else document(), status)
        return render_template(f"audit_logger/{template}", **values), status


def _schema_and_name(activities: Sequence[Any], table: Any) -> tuple[str, str]:
    return (activities[0].schema, activities[0].table_name) if activities else (table.schema or "public", table.name)


def _next(after: int | None) -> dict[str, Any]:
    return {"after": after, "next": None if after is None else here(after=after)}


def _argument(name: str) -> str:
    if name not in request.args:
        raise HistoryError(f"{name!r} is missing in the address.")
    return request.args[name]


def _after() -> int | None:
    return number(request.args["after"], "after") if request.args.get("after") else None


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def _plain(value: Any) -> Any:
    """Write a value as JSON has it, or as a text."""
    if value is None or isinstance(value, (bool, int, str, dict, list)):
        return value
    return time_text(value) if isinstance(value, dt.datetime) and value.tzinfo else str(value)


def _up_to_milliseconds(when: dt.datetime) -> str:
    rounded = when + dt.timedelta(microseconds=-when.microsecond % 1000)
    return rounded.replace(tzinfo=None).isoformat(timespec="milliseconds")
