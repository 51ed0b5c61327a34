"""The page of a logger as a blueprint of an app."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from audit_core import AuditLog, ConfigurationError, HistoryError
from flask import Blueprint, Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import DataError, DBAPIError
from werkzeug.exceptions import BadRequest

from .access import Access, harden
from .connections import Connections
from .embedding import Embedding, Embeddings
from .exports import Exports
from .naming import Naming
from .presentation import Presentation
from .records import RecordViews
from .views import Views
from .zones import Zones

_PAGES = "audit_logger_pages"
_FORMAT = "<any(csv, jsonl):format>"
_EMBEDDINGS = "audit_logger_embeddings"


def init_page(
    logger: AuditLog,
    db: SQLAlchemy,
    bind_key: str | None,
    app: Flask,
    url_prefix: str,
    *,
    rules: Access,
    naming: Naming,
    zones: Zones,
    log_reads: bool,
    statement_timeout: dt.timedelta,
) -> None:
    """Register the blueprint of the page; see :meth:`flask_audit_logger.AuditLogger.init_page`."""
    _require_function("access", rules.may_see)
    given = {"allow_undo": rules.allow_undo, **vars(naming)}
    for name, function in given.items():
        if function is not None:
            _require_function(name, function)
    if statement_timeout < dt.timedelta(milliseconds=1):
        raise ConfigurationError(f"statement_timeout is {statement_timeout!r}; give at least a millisecond.")
    pages: dict[str, AuditLog] = app.extensions.setdefault(_PAGES, {})
    if logger in pages.values():
        raise ConfigurationError(f"The page of this AuditLogger is in app {app.name!r} already. Call init_page() once.")
    if url_prefix in pages:
        raise ConfigurationError(f"url_prefix {url_prefix!r} has the page of another AuditLogger. Give another prefix.")
    name = "audit_logger" if bind_key is None else "audit_logger_" + re.sub(r"\W", "_", bind_key)
    if name in app.blueprints:
        raise ConfigurationError(f"App {app.name!r} has a blueprint {name!r} already; it can have one such page.")
    presentation = Presentation(logger, rules, naming, zones, lambda: db.session)
    connections = Connections(logger, db, bind_key, log_reads, statement_timeout)
    views, records = Views(logger, connections, presentation), RecordViews(logger, connections, presentation)
    blueprint = _blueprint(name, views, records, rules, presentation)
    exports = Exports(logger, connections, presentation)
    blueprint.add_url_rule(f"/export.{_FORMAT}", "export", exports.export_log)
    blueprint.add_url_rule(f"/record/export.{_FORMAT}", "export_record", exports.export_record)
    app.register_blueprint(blueprint, url_prefix=url_prefix)
    pages[url_prefix] = logger
    _embed(app, Embedding(presentation, connections, name))


def _require_function(name: str, given: Any) -> None:
    if not callable(given):
        raise ConfigurationError(f"{name} is {given!r}; give a function that is asked at each request.")


def _embed(app: Flask, embedding: Embedding) -> None:
    """Give the templates of the app what shows the history of an object."""
    embeddings: Embeddings | None = app.extensions.get(_EMBEDDINGS)
    if embeddings is None:
        embeddings = app.extensions[_EMBEDDINGS] = Embeddings([])
        for name, function in embeddings.names().items():
            app.jinja_env.globals.setdefault(name, function)
    embeddings.pages.append(embedding)


def _blueprint(name: str, views: Views, records: RecordViews, access: Access, presentation: Presentation) -> Blueprint:
    blueprint = Blueprint(
        name,
        "flask_audit_logger",
        template_folder="templates",
        static_folder="static",
        static_url_path="/static",
    )
    blueprint.before_request(access.refuse)
    blueprint.after_request(harden)
    blueprint.register_error_handler(HistoryError, views.bad_request)
    blueprint.register_error_handler(DataError, views.bad_request)
    blueprint.register_error_handler(BadRequest, views.refused_form)
    blueprint.register_error_handler(RecursionError, views.too_deep)
    blueprint.register_error_handler(DBAPIError, views.database_error)
    blueprint.context_processor(presentation.names)
    transaction = "/transaction/<id>"
    rules: dict[str, tuple[str, Callable[..., Any]]] = {
        "actor": ("/actor", views.show_actor),
        "record": ("/record", records.show_record),
        "coverage": ("/coverage", views.show_coverage),
        "as_of": ("/record/as-of", records.show_as_of),
        "compare": ("/record/compare", records.show_comparison),
        "transaction": (transaction, views.show_transaction),
    }
    if access.allow_undo is not None:
        rules["undo"] = (f"{transaction}/undo", views.show_undo)
        blueprint.add_url_rule(f"{transaction}/undo", "apply_undo", views.apply_undo, methods=["POST"])
        blueprint.add_url_rule(f"{transaction}/rehearsal", "rehearse_undo", views.rehearse_undo, methods=["POST"])
    blueprint.add_url_rule("/", "log", views.show_log)
    blueprint.add_url_rule("/log.json", "log", views.show_log)
    for endpoint, (rule, view) in rules.items():
        blueprint.add_url_rule(rule, endpoint, view)
        blueprint.add_url_rule(f"{rule}.json", endpoint, view)
    return blueprint
