"""Logins of Flask-Login and Flask-Security are events of the trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, abort
from flask_audit_logger import AuditLogger
from flask_login import LoginManager, UserMixin, login_required, login_user, logout_user
from flask_security.signals import user_failed_authn
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Shop:
    """An application with logins, whose trail has them."""

    def __init__(self, url: URL, events: Any) -> None:
        class Base(DeclarativeBase):
            pass

        self.db = db = SQLAlchemy(model_class=Base)

        class User(db.Model, UserMixin):  # type: ignore[name-defined,misc]
            __tablename__ = "users"
            __table_args__: Any = ({"info": {"versioned": {}}},)

            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(String)

        self.logger = AuditLogger(db, actor_cls=User, events=events)
        self.app = app = Flask(__name__)
        app.config.update(
            SECRET_KEY="secret", SQLALCHEMY_DATABASE_URI=url.render_as_string(hide_password=False), TESTING=True
        )
        db.init_app(app)
        manager = LoginManager(app)
        manager.user_loader(lambda key: db.session.get(User, int(key)))
        with app.app_context():
            db.create_all()
            self.logger.install(db.session)
            db.session.add(User(id=7, name="Ann"))
            db.session.commit()

        @app.post("/login")
        def login() -> str:
            login_user(db.session.get_one(User, 7))
            return "in"

        @app.post("/broken")
        def broken() -> str:
            login_user(db.session.get_one(User, 7))
            abort(500)

        @app.post("/logout")
        def logout() -> str:
            logout_user()
            return "out"

        @app.get("/private")
        @login_required
        def private() -> str:
            return "private"

    def events(self) -> list[tuple[str, Any, str | None]]:
        with self.app.app_context():
            found = self.db.session.scalars(self.logger.activities(verb="event"))
            newest_first = [
                (each.row_key, each.transaction.actor_id, str(each.transaction.client_addr)) for each in found
            ]
            return newest_first[::-1]

    def close(self) -> None:
        self.logger.close()
        with self.app.app_context():
            self.db.engine.dispose()


@pytest.fixture
def shop(database: URL) -> Iterator[Shop]:
    made = Shop(database, "login")
    yield made
    made.close()


def test_logins_and_refusals_are_recorded_with_their_actor(shop: Shop) -> None:
    client = shop.app.test_client()
    assert client.get("/private").status_code == 401
    client.post("/login")
    assert client.get("/private").status_code == 200
    client.post("/logout")
    assert shop.events() == [
        ("login.required", None, "127.0.0.1"),
        ("login", 7, "127.0.0.1"),
        ("logout", 7, "127.0.0.1"),
    ]


def test_a_request_that_fails_keeps_its_event(shop: Shop) -> None:
    assert shop.app.test_client().post("/broken").status_code == 500
    assert [name for name, *_ in shop.events()] == ["login"]


def test_without_events_nothing_is_recorded(database: URL) -> None:
    shop = Shop(database, None)
    shop.app.test_client().post("/login")
    assert shop.events() == []
    shop.close()


def test_other_names_have_to_be_declared(database: URL) -> None:
    shop = Shop(database, ["login", "export"])
    with shop.app.app_context():
        shop.logger.record_event(shop.db.session, "export")
        with pytest.raises(ValueError, match="not among the declared events"):
            shop.logger.record_event(shop.db.session, "exprot")
        shop.db.session.commit()
    shop.app.test_client().post("/login")
    assert [name for name, *_ in shop.events()] == ["export", "login"]
    shop.close()


def test_the_signals_of_flask_security(shop: Shop) -> None:
    with shop.app.test_request_context("/login", environ_base={"REMOTE_ADDR": "192.0.2.7"}):
        user_failed_authn.send(shop.app)
    assert shop.events() == [("login.failed", None, "192.0.2.7")]
