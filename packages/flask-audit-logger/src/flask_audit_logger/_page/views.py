"""The views of the log, of transactions and of the trail: what is asked, what is read, and the template or the JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from audit_core import HistoryError, UndoConflictError, audit_context
from audit_core.siblings import ignored_columns, parse_actor, sealed_in, undone_by
from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.orm import Session
from werkzeug.exceptions import BadRequest

from . import queries
from .access import require_csrf_token
from .actors import summary_of
from .answering import Answering, argument, asked_after, asked_listed, next_page, plain_value, utc_now
from .days import days
from .documents import (
    activity_document,
    counts_document,
    entry_document,
    key_value,
    summary_document,
    transaction_document,
)
from .entries import EntryPage, count_changes, log_entries
from .few import OF_ACTOR
from .filters import arguments, given, number
from .loading import LOADED_INTO_LOG, load_activities, transactions_of
from .naming import Names
from .presentation import error_text, here
from .zones import Zone

#: The most changes that are taken back, or rehearsed, in a browser.
UNDO_LIMIT = 1000
#: What a transaction did is counted up to here.
_COUNTED = 10_000
#: So many rows of a rehearsal have their names.
_NAMED = 100
_CANCELED = "57014"
_READ_ONLY = "25006"


class Views(Answering):
    """The log, transactions and what is done to them."""

    def show_log(self) -> ResponseReturnValue:
        fields = given(request.args)
        after = asked_after()
        with self.connections.reading(fields) as own:
            names = self.presentation.start()
            actors = names.offered_actors(own)
            try:
                found = self.actors_meant(own, names, fields.get("actor"))
                if len(found) > 1:
                    return self._log(own, names, fields, EntryPage(), "Log", actors=actors, which=found)
                if found:
                    fields["actor"] = str(found[0][0])
                filters = arguments(self.logger, fields, self.presentation.zones.asked())
                names.load(own, [filters.get("actor")])
                page = log_entries(self.logger, own, filters, after, asked_listed())
                zone = self.presentation.zones.of_reader()
                more: dict[str, Any] = {}
                if not fields and after is None:
                    more["days"] = days(self.logger, own, utc_now(), zone)
                elif fields.keys() == {"actor"} and after is None:
                    more["summary"] = summary_of(self.logger, own, filters["actor"], utc_now(), zone)
            except (HistoryError, DataError) as error:
                own.rollback()
                return self._log(
                    own, names, fields, EntryPage(), "Log", status=400, error=error_text(error), actors=actors
                )
            return self._log(own, names, fields, page, "Log", actors=actors, **more)

    def show_actor(self) -> ResponseReturnValue:
        actor = parse_actor(self.scope, argument("id"))
        with self.connections.reading({"actor": str(actor)}) as own:
            names = self.presentation.start()
            names.load(own, [actor])
            after, zone = asked_after(), self.presentation.zones.of_reader()
            page = log_entries(self.logger, own, {"actor": actor}, after, asked_listed())
            summary = summary_of(self.logger, own, actor, utc_now(), zone) if after is None else None
            title = f"Actor {names.actor_with_key(actor)}"
            return self._log(own, names, {"actor": str(actor)}, page, title, actor=actor, summary=summary)

    def _asked_zone(self) -> Zone:
        """Return the zone of the form, which shows a wrong one as the error that it is."""
        try:
            return self.presentation.zones.asked()
        except HistoryError:
            return self.presentation.zones.of_reader()

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

        listed = ",".join(map(str, page.listed))

        def document() -> dict[str, Any]:
            summary = more.get("summary")
            return {
                "filters": fields,
                **({} if summary is None else {"summary": summary_document(summary)}),
                "entries": [entry_document(entry, names) for entry in page.entries],
                "is_partial": page.is_partial,
                "meanwhile": page.meanwhile and here(after=page.meanwhile, listed=listed),
                **next_page(page.after, listed=listed),
                # Those whose name the filter may mean.
                "actors": [{"id": key_value(key), "name": name} for key, name in more.get("which", ())],
            }

        shown = {**more, "fields": fields, "page": page, "names": names, "title": title, "error": error}
        shown["most"] = OF_ACTOR
        shown |= {"tables": self.presentation.tables(), "columns": self.presentation.columns(fields.get("table"))}
        return self.answer("log.html", document, status, **shown, asked_zone=self._asked_zone())

    def show_coverage(self) -> ResponseReturnValue:
        name = request.args.get("table") or None
        fields = {} if name is None else {"table": name}
        with self.connections.reading({"coverage": True, **fields}) as own:
            events = own.execute(self.logger.coverage(name)).all()

            def document() -> dict[str, Any]:
                rows = [each._mapping.items() for each in events]
                return {"events": [{column: plain_value(value) for column, value in row} for row in rows]}

            return self.answer("coverage.html", document, title="What is recorded", table=name, events=events)

    def show_transaction(self, id: str) -> ResponseReturnValue:
        return self._transaction(number(id, "transaction"), "transaction.html", "Transaction {}")

    def show_undo(self, id: str) -> ResponseReturnValue:
        return self._transaction(number(id, "transaction"), "undo.html", "Undo transaction {}")

    def _transaction(self, id_: int, template: str, title: str) -> ResponseReturnValue:
        with self.connections.reading({"transaction": id_}) as own:
            transaction = transactions_of(self.logger, own, [id_]).get(id_)
            if transaction is None:
                return self.error(404, "That cannot be shown", f"There is no transaction {id_} in the trail.")
            groups, is_counted = count_changes(self.logger, own, [id_], _COUNTED).get(id_, ([], True))
            count = sum(group.count for group in groups)
            page = queries.transaction_page(self.logger, own, id_, asked_after(), is_large=count > UNDO_LIMIT)
            names = self.named(own, page.activities, [transaction.actor_id])
            undone = self._undone_by(own, id_) if count <= UNDO_LIMIT else None

            def document() -> dict[str, Any]:
                return {
                    **transaction_document(id_, transaction, names),
                    **counts_document(groups, is_counted),
                    "sealed": None if sealed is None else asdict(sealed),
                    "undone_by": undone,
                    "activities": [activity_document(each, names) for each in page.activities],
                    **({"undo_limit": UNDO_LIMIT} if template == "undo.html" else {}),
                    **next_page(page.after),
                }

            counts = {"groups": groups, "is_counted": is_counted, "count": count, "limit": UNDO_LIMIT, "undone": undone}
            sealed = sealed_in(own.connection(), self.logger.schema, id_)
            shown = {"id": id_, "transaction": transaction, "page": page, "names": names, "sealed": sealed, **counts}
            return self.answer(template, document, **shown, title=title.format(id_))

    def _undone_by(self, own: Session, id_: int) -> int | None:
        """Return the transaction that undid another one, as an undo would find it."""
        return undone_by(self.scope, own.connection(), id_, ignored_columns(self.scope, []))

    def rehearse_undo(self, id: str) -> ResponseReturnValue:
        require_csrf_token()
        id_ = number(id, "transaction")
        with self.connections.writing() as connection:
            self.connections.record_read(connection, {"transaction": id_})
            queries.limit_time(connection, self.connections.patience)
            plan = self.logger.plan_undo(connection, id_, limit=UNDO_LIMIT)
            connection.rollback()
            with self.connections.read_on(connection) as own:
                ids = [step.activity_id for step in plan.steps[:_NAMED]]
                activities = load_activities(self.logger, own, ids, LOADED_INTO_LOG)
                names, records = self.named(own, activities), {each.id: each for each in activities}
                title = f"Undo transaction {id_}"
                return self.answer("rehearsal.html", dict, id=id_, plan=plan, names=names, records=records, title=title)

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
            return self.error(409, "Nothing was undone", error_text(error))
        target = id_ if undone is None else undone.id
        return redirect(url_for(".transaction", id=target), 303)

    def bad_request(self, error: HistoryError | DataError) -> ResponseReturnValue:
        return self.error(400, "That cannot be shown", error_text(error))

    def refused_form(self, error: BadRequest) -> ResponseReturnValue:
        return self.error(400, "Nothing was done", error.description or "The form cannot be read.")

    def too_deep(self, error: RecursionError) -> ResponseReturnValue:
        return self.error(400, "That cannot be shown", "A value is nested more deeply than Python can read.")

    def database_error(self, error: DBAPIError) -> ResponseReturnValue:
        """Say that the time for a statement was over, or that nothing can be written; others are none of ours."""
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        if state == _READ_ONLY:
            said = "The database is read-only here, as a standby is, and this has to write: use the primary server."
            return self.error(503, "Nothing can be written", said)
        if state != _CANCELED:
            raise error
        seconds = self.connections.patience.total_seconds()
        said = f"The database did not answer within {seconds:g} seconds. Ask for less: a shorter time, or one table."
        return self.error(503, "That takes too long", said)
