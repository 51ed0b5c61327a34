"""Logins and what belongs to them, as Flask-Login and Flask-Security signal them, recorded as events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any, TypeAlias

from flask import Flask

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


#: Records an event of an app, about a user if there is one.
Record: TypeAlias = Callable[[Flask, str, Any], None]


def connect(record: Record) -> list[Callable[..., None]]:
    """Record the signals of what is installed, and return what has to be kept for as long as that is wanted."""
    receivers: list[Callable[..., None]] = []
    for signal, name in _signals():
        receiver = partial(_received, record, name)
        # The signal does not keep its receivers.
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


def _received(record: Record, name: str, sender: Any, user: Any = None, **_: Any) -> None:
    app = sender._get_current_object() if hasattr(sender, "_get_current_object") else sender
    if isinstance(app, Flask):
        record(app, name, user)
