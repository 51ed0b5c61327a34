"""The views of the page, and who may see them."""

from __future__ import annotations

import datetime as dt
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from audit_core import AuditError, ConfigurationError, HistoryError, UndoConflictError, audit_context
from audit_core.siblings import (
    VERBS,
    find_table,
    headline,
    parse_actor,
    parse_key,
    qualified,
    row_as_of,
    schema_of,
    table_of,
    tracked_tables,
)
from flask import Blueprint, Flask, Response, abort, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from .._actor import current_actor_id, current_client_addr
from . import queries
from .differences import cut, differences, text_of
from .filters import arguments, given, moment, number

if TYPE_CHECKING:
    from .._extension import AuditLogger

_PAGES = "audit_logger_pages"
_CSRF_KEY = "audit_logger_csrf"
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # Not "no-referrer": over HTTPS the check of Flask-WTF wants the referrer of our own form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def init_page(
    log: AuditLogger,
    app: Flask,
    url_prefix: str,
    access: Callable[[], bool],
    allow_undo: Callable[[], bool] | None,
    log_reads: bool,
    actor_name: Callable[[Any], str | None] | None,
) -> None:
    """Register the blueprint of the page; see :meth:`flask_audit_logger.AuditLogger.init_page`."""
    for name, given_callable in (("access", access), ("allow_undo", allow_undo), ("actor_name", actor_name)):
        if not callable(given_callable) and (name == "access" or given_callable is not None):
            raise ConfigurationError(f"{name} is {given_callable!r}; give a function that is asked at each request.")
    pages: dict[str, AuditLogger] = app.extensions.setdefault(_PAGES, {})
    if log in pages.values():
        raise ConfigurationError(f"The page of this AuditLogger is in app {app.name!r} already. Call init_page() once.")
    if url_prefix in pages:
        raise ConfigurationError(f"url_prefix {url_prefix!r} has the page of another AuditLogger. Give another prefix.")
    name = "audit_logger" if log.bind_key is None else "audit_logger_" + re.sub(r"\W", "_", log.bind_key)
    if name in app.blueprints:
        raise ConfigurationError(f"App {app.name!r} has a blueprint {name!r} already; it can have one such page.")
    views = _Views(log, name, access, allow_undo, log_reads, actor_name)
    app.register_blueprint(views.blueprint(), url_prefix=url_prefix)
    pages[url_prefix] = log


class _Views:
    """The page of one logger in one app."""

    def __init__(
        self,
        log: AuditLogger,
        name: str,
        access: Callable[[], bool],
        allow_undo: Callable[[], bool] | None,
        log_reads: bool,
        actor_name: Callable[[Any], str | None] | None,
    ) -> None:
        self.log = log
        self.name = name
        self.access = access
        self.allow_undo = allow_undo
        self.log_reads = log_reads
        self.actor_name = actor_name

    def blueprint(self) -> Blueprint:
        blueprint = Blueprint(
            self.name,
            "flask_audit_logger",
            template_folder="templates",
            static_folder="static",
            static_url_path="/static",
        )
        blueprint.before_request(self.refuse)
        blueprint.after_request(_harden)
        blueprint.register_error_handler(HistoryError, self.bad_request)
        blueprint.register_error_handler(DataError, self.bad_value)
        blueprint.context_processor(self.names)
        blueprint.add_url_rule("/", "log", self.show_log)
        blueprint.add_url_rule("/actor", "actor", self.show_actor)
        blueprint.add_url_rule("/record", "record", self.show_record)
        blueprint.add_url_rule("/coverage", "coverage", self.show_coverage)
        blueprint.add_url_rule("/record/as-of", "as_of", self.show_as_of)
        blueprint.add_url_rule("/transaction/<int:id>", "transaction", self.show_transaction)
        if self.allow_undo is not None:
            blueprint.add_url_rule("/transaction/<int:id>/undo", "undo", self.show_undo)
            blueprint.add_url_rule("/transaction/<int:id>/undo", "apply_undo", self.apply_undo, methods=["POST"])
        return blueprint

    # Who may.

    def refuse(self) -> ResponseReturnValue | None:
        allowed = self.access()
        if allowed and self.allow_undo is not None and request.endpoint in self._endpoints("undo", "apply_undo"):
            allowed = self.allow_undo()
        if not allowed:
            current_app.logger.warning(
                "Audit page: %s of %r refused to actor %r from %s",
                request.method,
                request.path,
                current_actor_id(),
                current_client_addr(),
            )
            return Response("You may not see this page.\n", 403, mimetype="text/plain")
        if any("\0" in value for value in request.values.values()):
            raise HistoryError("A value holds a NUL character, which PostgreSQL cannot store.")
        return None

    def may_undo(self) -> bool:
        return self.allow_undo is not None and bool(self.allow_undo())

    # The connection.

    @contextmanager
    def reading(self, asked: dict[str, Any], table: str | None = None, row_key: str | None = None) -> Iterator[Session]:
        """Open a session of its own that can only read, after recording what is read.

        :param asked: what was asked for.
        :param table: the table of the record that is read, if it is one.
        """
        with self.connection() as connection:
            self.record_read(connection, asked, table, row_key)
            queries.start_reading(connection)
            with Session(connection) as own:
                yield own
            connection.rollback()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        with self.log.db.engines[self.log.bind_key].connect() as connection:
            yield connection

    def record_read(
        self, connection: Connection, asked: dict[str, Any], table: str | None = None, row_key: str | None = None
    ) -> None:
        """Record that somebody looks, in a transaction of its own: what follows may not write."""
        if not self.log_reads:
            return
        schema = name = None
        if table is not None:
            found = find_table(self.log, table)
            schema, name = connection.scalar(schema_of(self.log, found)), found.name
        self.log.send_context(connection)
        function = qualified("audit_logger_record_read", self.log.schema).replace(":", "\\:")
        connection.execute(
            text(
                f"SELECT {function}("
                "CAST(:schema AS text), CAST(:name AS text), CAST(:row_key AS text), CAST(:filter AS jsonb))"
            ),
            {
                "schema": schema,
                "name": name,
                "row_key": row_key,
                "filter": json.dumps({"view": request.endpoint, **asked}),
            },
        )
        connection.commit()

    # The views.

    def show_log(self) -> ResponseReturnValue:
        fields = given(request.args)
        try:
            return self._log(fields, arguments(self.log, fields), "Log")
        except (HistoryError, DataError) as error:
            return self._render("log.html", 400, title="Log", fields=fields, error=_said(error), page=queries.Page([]))

    def show_actor(self) -> ResponseReturnValue:
        actor = parse_actor(self.log, _argument("id"))
        return self._log({"actor": str(actor)}, {"actor": actor}, f"Actor {self._actor_label(actor)}", actor=actor)

    def _log(self, fields: dict[str, str], filters: dict[str, Any], title: str, **more: Any) -> ResponseReturnValue:
        after = _after()
        with self.reading(fields) as own:
            page = queries.log_page(self.log, own, filters, after)
            more["columns"] = queries.changed_columns(self.log, own, page)
            if not fields and after is None:
                more["days"] = queries.days(self.log, own, dt.datetime.now(dt.timezone.utc))
            return self._render("log.html", title=title, fields=fields, page=page, **more)

    def show_record(self) -> ResponseReturnValue:
        name, row_key = _argument("table"), _argument("key")
        table = find_table(self.log, name)
        key = parse_key(table, row_key)
        with self.reading({}, name, row_key) as own:
            page = queries.record_page(self.log, own, self.log.history(table, key), _after())
            return self._render("record.html", table=name, key=row_key, page=page, title=f"{name} {row_key}")

    def show_coverage(self) -> ResponseReturnValue:
        name = request.args.get("table") or None
        fields = {} if name is None else {"table": name}
        with self.reading({"coverage": True, **fields}) as own:
            events = own.execute(self.log.coverage(name)).all()
            return self._render("coverage.html", title="What is recorded", table=name, events=events)

    def show_as_of(self) -> ResponseReturnValue:
        name, row_key = _argument("table"), _argument("key")
        table: Any = find_table(self.log, name)
        key = parse_key(table, row_key)
        shown: dict[str, Any] = {"table": name, "key": row_key, "title": "State at a time"}
        if not request.args.get("when"):
            now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None)
            return self._render("as_of.html", **shown, when=now.isoformat(timespec="seconds"))
        when = moment(request.args["when"], "when")
        # The field takes milliseconds; rounded down, the time would be before the change that it comes from.
        shown["when"] = _up_to_milliseconds(when)
        try:
            with self.reading({"when": when.isoformat()}, name, row_key) as own:
                row, notes = row_as_of(self.log, own.connection(), table, key, when)
        except HistoryError as error:
            return self._render("as_of.html", 400, **shown, error=_said(error))
        values: list[tuple[str, str, str]] = []
        if row is not None:
            values = [(each.name, *cut(_as_text(row[each.key]))) for each in table.columns]
        return self._render("as_of.html", **shown, moment=when, row=row, notes=notes, values=values)

    def show_transaction(self, id: int) -> ResponseReturnValue:
        number(str(id), "transaction")
        with self.reading({"transaction": id}) as own:
            transaction = own.get(self.log.transaction_cls, id)
            if transaction is None:
                error = f"There is no transaction {id} in the trail."
                return self._render("error.html", 404, title="That cannot be shown", error=error)
            page = queries.record_page(self.log, own, self.log.activities(transaction=id), _after())
            return self._render("transaction.html", transaction=transaction, page=page, title=f"Transaction {id}")

    def show_undo(self, id: int) -> ResponseReturnValue:
        with self.connection() as connection:
            self.record_read(connection, {"transaction": id})
            plan = self.log.plan_undo(connection, id)
            connection.rollback()
        return self._render("undo.html", id=id, plan=plan, title=f"Undo transaction {id}")

    def apply_undo(self, id: int) -> ResponseReturnValue:
        sent = request.form.get("audit_csrf", "")
        if not hmac.compare_digest(sent.encode(), session.get(_CSRF_KEY, secrets.token_hex()).encode()):
            abort(400, "The form has expired. Open it again.")
        reason = request.form.get("reason", "").strip()
        try:
            with self.connection() as connection, audit_context(**({"reason": reason} if reason else {})):
                undone = self.log.plan_undo(connection, id).apply()
                connection.commit()
        except UndoConflictError as error:
            return self._render("error.html", 409, title="Nothing was undone", error=_said(error))
        target = id if undone is None else undone.id
        return redirect(url_for(".transaction", id=target), 303)

    def bad_request(self, error: HistoryError) -> ResponseReturnValue:
        return self._render("error.html", 400, title="That cannot be shown", error=_said(error))

    def bad_value(self, error: DataError) -> ResponseReturnValue:
        return self._render("error.html", 400, title="That cannot be shown", error=_said(error))

    # What the templates ask for.

    def names(self) -> dict[str, Any]:
        return {
            "differences": lambda each: differences(each.old_data, each.changed_data, each.verb),
            "said": _said_beside,
            "text_of": text_of,
            "table_name_of": self._table_name,
            # A page names few actors many times, and a name may take a query.
            "actor_label": cache(self._actor_label),
            "may_undo": self.may_undo,
            "csrf": _csrf_token,
            "here": _here,
            "utc": dt.timezone.utc,
            "verbs": VERBS,
            "tables": sorted(table.fullname for table, _ in tracked_tables(self.log.metadata)),
        }

    def _render(self, template: str, status: int = 200, **values: Any) -> ResponseReturnValue:
        return render_template(f"audit_logger/{template}", **values), status

    def _table_name(self, activity: Any) -> str | None:
        table = table_of(self.log, activity.schema, activity.table_name)
        return None if table is None else table.fullname

    def _actor_label(self, key: Any) -> str:
        name = None if self.actor_name is None else self.actor_name(key)
        return str(key) if name is None else f"{name} ({key})"

    def _endpoints(self, *views: str) -> list[str]:
        return [f"{self.name}.{view}" for view in views]


def _harden(response: Response) -> Response:
    response.headers.update(_HEADERS)
    return response


def _said_beside(meta: Any) -> list[tuple[str, Any]]:
    """Return the pairs of ``meta``, which is no object if somebody wrote it by hand."""
    return [] if meta is None else list(meta.items()) if isinstance(meta, dict) else [("meta", meta)]


def _argument(name: str) -> str:
    if name not in request.args:
        raise HistoryError(f"{name!r} is missing in the address.")
    return request.args[name]


def _after() -> int | None:
    return number(request.args["after"], "after") if request.args.get("after") else None


def _here(**changed: Any) -> str:
    """Return the address of this view, with some arguments changed."""
    asked = {**request.args, **(request.view_args or {}), **changed}
    return url_for(request.endpoint or "", **{name: value for name, value in asked.items() if value is not None})


def _csrf_token() -> str:
    if _CSRF_KEY not in session:
        session[_CSRF_KEY] = secrets.token_hex()
    token: str = session[_CSRF_KEY]
    return token


def _as_text(value: Any) -> str:
    return text_of(value) if value is None or isinstance(value, (bool, dict, list)) else str(value)


def _said(error: AuditError | DataError) -> str:
    return str(error) if isinstance(error, AuditError) else headline(error)


def _up_to_milliseconds(when: dt.datetime) -> str:
    rounded = when + dt.timedelta(microseconds=-when.microsecond % 1000)
    return rounded.astimezone(dt.timezone.utc).replace(tzinfo=None).isoformat(timespec="milliseconds")
