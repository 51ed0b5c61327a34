"""The views: what is asked, what is read, and the template that shows it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from audit_core import AuditLog, HistoryError, UndoConflictError, audit_context
from audit_core.siblings import find_table, parse_actor, parse_key, row_as_of, scope_of
from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DataError

from . import queries
from .access import require_csrf_token
from .connections import Connections
from .differences import cut
from .filters import arguments, given, moment, number
from .presentation import Presentation, error_text, value_text


class Views:
    """The views of one logger in one app."""

    def __init__(self, logger: AuditLog, connections: Connections, presentation: Presentation) -> None:
        self.logger = logger
        self.scope = scope_of(logger)
        self.connections = connections
        self.presentation = presentation

    def show_log(self) -> ResponseReturnValue:
        fields = given(request.args)
        try:
            return self._log(fields, arguments(self.logger, fields), "Log")
        except (HistoryError, DataError) as error:
            empty = queries.Page([])
            return self._render("log.html", 400, title="Log", fields=fields, error=error_text(error), page=empty)

    def show_actor(self) -> ResponseReturnValue:
        actor = parse_actor(self.scope, _argument("id"))
        title = f"Actor {self.presentation.actor_label(actor)}"
        return self._log({"actor": str(actor)}, {"actor": actor}, title, actor=actor)

    def _log(self, fields: dict[str, str], filters: dict[str, Any], title: str, **more: Any) -> ResponseReturnValue:
        after = _after()
        with self.connections.reading(fields) as own:
            page = queries.log_page(self.logger, own, filters, after)
            more["columns"] = queries.changed_columns(self.logger, own, page)
            if not fields and after is None:
                more["days"] = queries.days(self.logger, own, dt.datetime.now(dt.timezone.utc))
            return self._render("log.html", title=title, fields=fields, page=page, **more)

    def show_record(self) -> ResponseReturnValue:
        name, row_key = _argument("table"), _argument("key")
        table = find_table(self.scope, name)
        key = parse_key(table, row_key)
        with self.connections.reading({}, name, row_key) as own:
            page = queries.record_page(self.logger, own, self.logger.history(table, key), _after())
            return self._render("record.html", table=name, key=row_key, page=page, title=f"{name} {row_key}")

    def show_coverage(self) -> ResponseReturnValue:
        name = request.args.get("table") or None
        fields = {} if name is None else {"table": name}
        with self.connections.reading({"coverage": True, **fields}) as own:
            events = own.execute(self.logger.coverage(name)).all()
            return self._render("coverage.html", title="What is recorded", table=name, events=events)

    def show_as_of(self) -> ResponseReturnValue:
        name, row_key = _argument("table"), _argument("key")
        table: Any = find_table(self.scope, name)
        key = parse_key(table, row_key)
        shown: dict[str, Any] = {"table": name, "key": row_key, "title": "State at a time"}
        if not request.args.get("when"):
            now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)
            return self._render("as_of.html", **shown, when=now.isoformat(timespec="seconds"))
        when = moment(request.args["when"], "when")
        # The field takes milliseconds; rounded down, the time would be before the change that it comes from.
        shown["when"] = _up_to_milliseconds(when)
        try:
            with self.connections.reading({"when": when.isoformat()}, name, row_key) as own:
                row, notes = row_as_of(self.scope, own.connection(), table, key, when)
        except HistoryError as error:
            return self._render("as_of.html", 400, **shown, error=error_text(error))
        values: list[tuple[str, str, str]] = []
        if row is not None:
            values = [(each.name, *cut(value_text(row[each.key]))) for each in table.columns]
        return self._render("as_of.html", **shown, moment=when, row=row, notes=notes, values=values)

    def show_transaction(self, id: int) -> ResponseReturnValue:
        number(str(id), "transaction")
        with self.connections.reading({"transaction": id}) as own:
            transaction = own.get(self.logger.transaction_cls, id)
            if transaction is None:
                error = f"There is no transaction {id} in the trail."
                return self._render("error.html", 404, title="That cannot be shown", error=error)
            page = queries.record_page(self.logger, own, self.logger.activities(transaction=id), _after())
            return self._render("transaction.html", transaction=transaction, page=page, title=f"Transaction {id}")

    def show_undo(self, id: int) -> ResponseReturnValue:
        with self.connections.writing() as connection:
            self.connections.record_read(connection, {"transaction": id})
            plan = self.logger.plan_undo(connection, id)
            connection.rollback()
        return self._render("undo.html", id=id, plan=plan, title=f"Undo transaction {id}")

    def apply_undo(self, id: int) -> ResponseReturnValue:
        require_csrf_token()
        reason = request.form.get("reason", "").strip()
        try:
            with self.connections.writing() as connection, audit_context(**({"reason": reason} if reason else {})):
                undone = self.logger.plan_undo(connection, id).apply()
                connection.commit()
        except UndoConflictError as error:
            return self._render("error.html", 409, title="Nothing was undone", error=error_text(error))
        target = id if undone is None else undone.id
        return redirect(url_for(".transaction", id=target), 303)

    def bad_request(self, error: HistoryError | DataError) -> ResponseReturnValue:
        return self._render("error.html", 400, title="That cannot be shown", error=error_text(error))

    def _render(self, template: str, status: int = 200, **values: Any) -> ResponseReturnValue:
        return render_template(f"audit_logger/{template}", **values), status


def _argument(name: str) -> str:
    if name not in request.args:
        raise HistoryError(f"{name!r} is missing in the address.")
    return request.args[name]


def _after() -> int | None:
    return number(request.args["after"], "after") if request.args.get("after") else None


def _up_to_milliseconds(when: dt.datetime) -> str:
    rounded = when + dt.timedelta(microseconds=-when.microsecond % 1000)
    return rounded.astimezone(dt.timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds")
