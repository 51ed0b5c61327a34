"""The page of a logger as a blueprint of an app."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from audit_core import AuditLog, ConfigurationError, HistoryError
from audit_core.siblings import scope_of
from flask import Blueprint, Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.exc import DataError

from .access import Access, harden
from .connections import Connections
from .presentation import Presentation
from .views import Views

_PAGES = "audit_logger_pages"


def init_page(
    logger: AuditLog,
    db: SQLAlchemy,
    bind_key: str | None,
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
    pages: dict[str, AuditLog] = app.extensions.setdefault(_PAGES, {})
    if logger in pages.values():
        raise ConfigurationError(f"The page of this AuditLogger is in app {app.name!r} already. Call init_page() once.")
    if url_prefix in pages:
        raise ConfigurationError(f"url_prefix {url_prefix!r} has the page of another AuditLogger. Give another prefix.")
    name = "audit_logger" if bind_key is None else "audit_logger_" + re.sub(r"\W", "_", bind_key)
    if name in app.blueprints:
        raise ConfigurationError(f"App {app.name!r} has a blueprint {name!r} already; it can have one such page.")
    rules = Access(access, allow_undo)
    presentation = Presentation(scope_of(logger), rules, actor_name)
    views = Views(logger, Connections(logger, db, bind_key, log_reads), presentation)
    app.register_blueprint(_blueprint(name, views, rules, presentation), url_prefix=url_prefix)
    pages[url_prefix] = logger


def _blueprint(name: str, views: Views, access: Access, presentation: Presentation) -> Blueprint:
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
    blueprint.context_processor(presentation.names)
    blueprint.add_url_rule("/", "log", views.show_log)
    blueprint.add_url_rule("/actor", "actor", views.show_actor)
    blueprint.add_url_rule("/record", "record", views.show_record)
    blueprint.add_url_rule("/coverage", "coverage", views.show_coverage)
    blueprint.add_url_rule("/record/as-of", "as_of", views.show_as_of)
    transaction = "/transaction/<int(signed=True):id>"
    blueprint.add_url_rule(transaction, "transaction", views.show_transaction)
    if access.allow_undo is not None:
        blueprint.add_url_rule(f"{transaction}/undo", "undo", views.show_undo)
        blueprint.add_url_rule(f"{transaction}/undo", "apply_undo", views.apply_undo, methods=["POST"])
    return blueprint
