"""Who makes a change, and from where, as Flask and Flask-Login know it."""

from __future__ import annotations

from typing import Any

from audit_core.siblings import storable
from flask import current_app, has_request_context, request
from flask_login import current_user
from sqlalchemy import inspect


def current_actor_id() -> Any:
    """Return the primary key of the logged-in user; None outside a request and for anonymous users."""
    if not has_request_context() or not hasattr(current_app, "login_manager"):
        return None
    user = current_user._get_current_object()
    if user is None or user.is_anonymous:
        return None
    state = inspect(user, raiseerr=False)
    if state is None:
        return getattr(user, "id", None)
    # An attribute of a user that a commit has expired would cost a SELECT; its identity does not.
    return state.identity[0] if state.identity else None


def current_client_addr() -> str | None:
    """Return the address of the client; None outside a request."""
    # Behind a proxy it is what a header says.
    return storable(request.remote_addr) if has_request_context() and request.remote_addr else None
