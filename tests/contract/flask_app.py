"""The application of the Flask configurations, and its subject for the contract."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from flask import Flask, request
from flask_audit_logger import AuditLogger
from flask_login import LoginManager, login_user, logout_user
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL
from sqlalchemy.orm import Session

from tests.contract.project import Project
from tests.contract.subject import Subject


def make_app(
    db: SQLAlchemy,
    article_cls: Any,
    actor_cls: Any,
    url: URL | str | None = None,
    *,
    binds: dict[str, Any] | None = None,
    **migrate: Any,
) -> Flask:
    """Make an app with logins and articles; its database comes from DATABASE_URL where no URL is given."""
    app = Flask("tests")
    app.config.update(
        SECRET_KEY="tests",
        SQLALCHEMY_DATABASE_URI=url or os.environ["DATABASE_URL"],
        SQLALCHEMY_BINDS=binds or {},
    )
    db.init_app(app)
    Migrate(app, db, **migrate)
    login_manager = LoginManager(app)

    @login_manager.user_loader
    def load_user(key: str) -> Any:
        return db.session.get(actor_cls, int(key))

    @app.post("/login/<int:key>")
    def login(key: int) -> str:
        login_user(db.session.get_one(actor_cls, key))
        return ""

    @app.post("/logout")
    def logout() -> str:
        logout_user()
        return ""

    @app.post("/articles")
    def add_article() -> str:
        article = article_cls(title=request.form["title"])
        db.session.add(article)
        db.session.commit()
        return str(article.id)

    @app.post("/articles/twice")
    def add_two_articles() -> str:
        """The commit expires current_user in between."""
        for title in ("first", "second"):
            db.session.add(article_cls(title=title))
            db.session.commit()
        return ""

    return app


def flask_subject(
    module: ModuleType,
    url: URL,
    directory: Path,
    *,
    audit_logger: AuditLogger | None = None,
    init: tuple[str, ...] = (),
) -> Iterator[Subject]:
    """Migrate a database with the real commands, then serve the contract.

    :param init: options of ``flask db init``.
    """
    project = Project(directory, url, f"{module.__name__}:create_app")
    project.flask("db", "init", *init)
    assert "Generating" in project.flask("db", "migrate", "-m", "first")
    project.flask("db", "upgrade")
    assert "No new upgrade operations detected" in project.flask("db", "check")
    assert "No changes in schema detected" in project.flask("db", "migrate", "-m", "second")
    app: Flask = module.create_app(url)
    db: SQLAlchemy = module.db

    @contextmanager
    def session() -> Iterator[Session]:
        with app.app_context():
            yield db.session()
            db.session.remove()

    with app.app_context():
        engine = db.engine
    yield Subject(audit_logger or module.audit_logger, engine, module.Article, module.User, session, module.actor_cls)
    with app.app_context():
        for each in db.engines.values():
            each.dispose()
