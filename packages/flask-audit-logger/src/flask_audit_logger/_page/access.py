"""Who may see the page, and who may take changes back."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from audit_core import HistoryError
from flask import Response, abort, current_app, render_template, request, session
from flask.typing import ResponseReturnValue

from .._actor import current_actor_id, current_client_addr
from .documents import json_answer, wants_json

_CSRF_KEY = "audit_logger_csrf"
_UNDO = ("undo", "rehearse_undo", "apply_undo")
#: Of an argument; a key has less.
_LONGEST = 10_000
_HEADERS = {
    "Cache-Control": "no-store",
    # Each address answers JSON, too.
    "Vary": "Accept, Cookie",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    # Not "no-referrer": over HTTPS the check of Flask-WTF wants the referrer of our own form.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Access:
    """The functions of the application that are asked at each request."""

    may_see: Callable[[], bool]
    #: None if nobody may.
    allow_undo: Callable[[], bool] | None
    #: Where one logs in, or a function that says where; None if the page does not know.
    login_url: str | Callable[[], str] | None = None

    def may_undo(self) -> bool:
        """Return whether the visitor may take changes back."""
        return self.allow_undo is not None and bool(self.allow_undo())

    def refuse(self) -> ResponseReturnValue | None:
        """Answer a visitor who may not see what is asked for; None for the others."""
        view = (request.endpoint or "").rpartition(".")[2]
        if view == "static":
            # The page that refuses a visitor has the stylesheet, too.
            return None
        allowed = self.may_see()
        if allowed and view in _UNDO:
            allowed = self.may_undo()
        if not allowed:
            current_app.logger.warning(
                "Audit page: %s of %r refused to actor %r from %s",
                request.method,
                request.path,
                current_actor_id(),
                current_client_addr(),
            )
            return self._refusal()
        if any("\0" in value for value in request.values.values()):
            raise HistoryError("A value holds a NUL character, which PostgreSQL cannot store.")
        if any(len(value) > _LONGEST for value in request.values.values()):
            raise HistoryError(f"A value has more than {_LONGEST:,} characters.")
        if (unknown := next((name for name in request.args if name.startswith("_")), None)) is not None:
            raise HistoryError(f"{unknown!r} is not an argument of this page.")
        return None

    def _refusal(self) -> ResponseReturnValue:
        said = "You may not see this page."
        if wants_json():
            return json_answer({"error": said}, 403)
        login = self.login_url() if callable(self.login_url) else self.login_url
        return render_template("audit_logger/refused.html", title="No access", said=said, login=login), 403


def csrf_token() -> str:
    """Return the token of this visitor's forms."""
    if _CSRF_KEY not in session:
        session[_CSRF_KEY] = secrets.token_hex()
    token: str = session[_CSRF_KEY]
    return token


def require_csrf_token() -> None:
    """Refuse a form that is not one of ours."""
    sent = request.form.get("audit_csrf", "")
    if not hmac.compare_digest(sent.encode(), session.get(_CSRF_KEY, secrets.token_hex()).encode()):
        abort(400, "The form has expired. Open it again.")


def harden(response: Response) -> Response:
    """Forbid caches, frames and scripts."""
    response.headers.update(_HEADERS)
    return response
