"""Logins and what belongs to them, as Flask-Login and Flask-Security signal them, recorded as events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from audit_core import audit_context
from flask import Flask
from sqlalchemy import inspect

if TYPE_CHECKING:
    from ._extension import AuditLogger

#: The module and the signal, and what the event is called.
_EVENTS = {
    "flask_login.signals": {
        "user_logged_in": "login",
        "user_logged_out": "logout",
        "user_login_confirmed": "login.confirmed",
        "user_loaded_from_cookie": "login.remembered",
        "user_unauthorized": "login.required",
        "user_needs_refresh": "login.needs_refresh",
        "session_protected": "login.session_protected",
    },
    "flask_security.signals": {
        "user_failed_authn": "login.failed",
        "user_unauthenticated": "login.unauthenticated",
        "user_not_registered": "registration.refused",
        "user_registered": "registration",
        "user_confirmed": "registration.confirmed",
        "password_changed": "password.changed",
        "password_reset": "password.reset",
        "reset_password_instructions_sent": "password.reset_requested",
        "username_changed": "username.changed",
        "change_email_confirmed": "email.changed",
        "tf_code_confirmed": "second_factor.confirmed",
        "tf_profile_changed": "second_factor.changed",
        "tf_disabled": "second_factor.disabled",
        "us_profile_changed": "sign_in.changed",
        "wan_registered": "passkey.registered",
        "wan_deleted": "passkey.deleted",
    },
}
#: The events that ``events="login"`` records.
LOGIN_EVENTS = tuple(name for names in _EVENTS.values() for name in names.values())


def connect(logger: AuditLogger) -> list[Callable[..., None]]:
    """Record the signals of what is installed, and return what has to be kept for as long as that is wanted."""
    receivers: list[Callable[..., None]] = []
    for signal, name in _signals():
        receiver = partial(_received, logger, name)
        # A receiver is kept by whoever wants it.
        signal.connect(receiver)
        receivers.append(receiver)
    return receivers


def _signals() -> Iterator[tuple[Any, str]]:
    for module, names in _EVENTS.items():
        try:
            found = import_module(module)
        except ModuleNotFoundError:
            continue
        for attribute, name in names.items():
            # Older versions have fewer of them.
            signal = getattr(found, attribute, None)
            if signal is not None:
                yield signal, name


def _received(logger: AuditLogger, name: str, sender: Any, user: Any = None, **_: Any) -> None:
    app = sender._get_current_object() if hasattr(sender, "_get_current_object") else sender
    if not isinstance(app, Flask) or not logger.is_attached_to(app):
        return
    state = None if user is None else inspect(user, raiseerr=False)
    identity = state.identity if state is not None and state.identity else None
    engine = logger.db.engines[logger.bind_key]
    known = {} if identity is None else {"actor_id": identity[0]}
    # In a transaction of its own: a login that fails is rolled back with the request, and has to stay.
    with audit_context(**known), engine.begin() as connection:
        logger.record_event(connection, name, target=user if identity is not None else None)
