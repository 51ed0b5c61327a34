"""The pages of the register."""

from __future__ import annotations

import datetime as dt
import hmac
import secrets
from collections.abc import Sequence

from flask import Blueprint, abort, redirect, render_template, request, session, url_for
from flask_audit_logger import AuditLogActivity, ContextError, audit_context
from flask_login import login_required, login_user, logout_user
from sqlalchemy import delete, func, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import joinedload
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from .models import Country, Subdivision, User, audit_logger, db

views = Blueprint("register", __name__)


@views.before_app_request
def check_csrf_token() -> None:
    """Refuse a form that does not come from a page of ours."""
    if request.method == "POST":
        sent = request.form.get("csrf_token", "").encode()
        if not hmac.compare_digest(csrf_token().encode(), sent):
            abort(400, "The form is too old or comes from another site. Go back and reload the page.")


@views.app_template_global()
def csrf_token() -> str:
    """Return the token of this session, which a page of another site cannot know."""
    token: str = session.setdefault("csrf_token", secrets.token_urlsafe())
    return token


@views.get("/")
def countries() -> str:
    """List the countries."""
    subdivisions = (
        select(func.count()).where(Subdivision.country_code == Country.alpha_2).correlate(Country).scalar_subquery()
    )
    rows = db.session.execute(select(Country, subdivisions).order_by(Country.name)).all()
    return render_template("countries.html", rows=rows)


@views.get("/countries/<alpha_2>")
def country(alpha_2: str) -> str:
    """Show a country, its subdivisions and what happened to them."""
    found = db.get_or_404(Country, alpha_2)
    return render_template("country.html", country=found, history=history(found))


def history(country: Country, limit: int = 8) -> Sequence[AuditLogActivity]:
    """Return the latest changes of a country and its subdivisions, deleted ones included."""
    activity, transaction = audit_logger.activity_cls, audit_logger.transaction_cls
    return db.session.scalars(
        audit_logger.history(country, related=True)
        .options(joinedload(activity.transaction).joinedload(transaction.actor))
        .limit(limit)
    ).all()


@views.route("/countries/<alpha_2>/edit", methods=["GET", "POST"])
@login_required
def edit_country(alpha_2: str) -> str | AnyResponse:
    """Change the names of a country."""
    found = db.get_or_404(Country, alpha_2)
    if request.method == "GET":
        return render_template("edit_country.html", country=found)
    found.name = field("name")
    found.official_name = request.form.get("official_name", "").strip() or None
    return save(found.alpha_2)


@views.route("/subdivisions/<code>/edit", methods=["GET", "POST"])
@login_required
def edit_subdivision(code: str) -> str | AnyResponse:
    """Change the name of a subdivision."""
    found = db.get_or_404(Subdivision, code)
    if request.method == "GET":
        return render_template("edit_subdivision.html", subdivision=found)
    found.name = field("name")
    found.category = field("category")
    return save(found.country_code)


@views.post("/subdivisions/<code>/delete")
@login_required
def delete_subdivision(code: str) -> AnyResponse:
    """Delete a subdivision."""
    found = db.get_or_404(Subdivision, code)
    db.session.delete(found)
    return save(found.country_code)


@views.post("/countries/<alpha_2>/merge")
@login_required
def merge_subdivisions(alpha_2: str) -> AnyResponse:
    """Replace some subdivisions of a country with a new one, all in one transaction."""
    found = db.get_or_404(Country, alpha_2)
    merged = request.form.getlist("merged")
    if not merged:
        abort(400, "Choose the subdivisions to merge.")
    new = Subdivision(code=field("code"), country_code=found.alpha_2, name=field("name"), category=field("category"))
    with audit_context(reason=field("reason")):
        # Written at once, before the new one is known to be acceptable.
        db.session.execute(
            delete(Subdivision).where(Subdivision.code.in_(merged), Subdivision.country_code == found.alpha_2)
        )
        db.session.add(new)
        db.session.commit()
    return redirect(url_for("register.country", alpha_2=alpha_2), code=303)


@views.route("/login", methods=["GET", "POST"])
def login() -> str | AnyResponse:
    """Log a user in."""
    if request.method == "GET":
        return render_template("login.html")
    user = db.session.scalar(select(User).where(User.login == field("login")))
    if user is None or not user.has_password(field("password")):
        abort(403, "There is no user with this login and password.")
    login_user(user)
    user.last_login = dt.datetime.now(dt.timezone.utc)
    db.session.commit()
    return redirect(url_for("register.countries"), code=303)


@views.post("/logout")
def logout() -> AnyResponse:
    """Log the user out."""
    logout_user()
    return redirect(url_for("register.countries"), code=303)


@views.app_errorhandler(HTTPException)
def show_error(error: HTTPException) -> tuple[str, int] | AnyResponse:
    """Describe what is wrong."""
    if error.code is None or error.code < 400:
        return error.get_response()
    return render_template("error.html", title=error.name, text=error.description), error.code


@views.app_errorhandler(IntegrityError)
@views.app_errorhandler(DataError)
def show_refusal(error: IntegrityError | DataError) -> tuple[str, int]:
    """Undo everything that the request changed, and say what the database refused."""
    db.session.rollback()
    diagnostics = getattr(error.orig, "diag", None)
    text = (diagnostics and diagnostics.message_detail) or str(error.orig)
    return render_template("error.html", title="Nothing was changed", text=text), 409


@views.app_errorhandler(ContextError)
def show_context_error(error: ContextError) -> tuple[str, int]:
    """Describe what the trail cannot store."""
    db.session.rollback()
    return render_template("error.html", title="Nothing was changed", text=str(error)), 400


def field(name: str) -> str:
    """Return a field of the form that must be filled in."""
    value = request.form.get(name, "").strip()
    if not value:
        abort(400, f"Fill in the field {name!r}.")
    return value


def save(alpha_2: str) -> AnyResponse:
    """Commit with the reason that the form gives, and go back to the country."""
    with audit_context(reason=field("reason")):
        db.session.commit()
    return redirect(url_for("register.country", alpha_2=alpha_2), code=303)
