"""A register of the world's countries and their subdivisions, with an audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask, url_for
from flask_login import LoginManager, current_user
from flask_migrate import Migrate

from .models import User, audit_logger, db
from .views import views

login_manager = LoginManager()
login_manager.login_view = "register.login"
migrate = Migrate()


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application.

    :param config: settings of Flask; those in the environment (``FLASK_SQLALCHEMY_DATABASE_URI``,
        ``FLASK_SECRET_KEY``) if None.
    """
    app = Flask(__name__)
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    # The trail shows it beside the role that logged in.
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"application_name": "country_register"}}
    if config is None:
        app.config.from_prefixed_env()
    else:
        app.config.update(config)

    db.init_app(app)
    migrate.init_app(app, db)
    login_manager.init_app(app)
    app.register_blueprint(views)
    audit_logger.init_page(
        app,
        access=lambda: current_user.is_authenticated,
        allow_undo=lambda: current_user.is_authenticated,
        login_url=lambda: url_for("register.login"),
    )
    return app


@login_manager.user_loader
def load_user(user_id: str) -> User | None:
    """Find the user of a session."""
    return db.session.get(User, int(user_id))
