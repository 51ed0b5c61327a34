"""Checked by mypy as a user of flask_audit_logger would write it; never run."""

from __future__ import annotations

from flask import Flask
from flask_audit_logger import AuditLogger, audit_context
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class User(Base):
    __tablename__ = "user"
    __table_args__ = ({"info": {"versioned": {"exclude": ["password"]}}},)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    password: Mapped[str]


audit_logger = AuditLogger(db, schema="audit", actor_cls=User)
migrate = Migrate()
login_manager = LoginManager()


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg:///app"
    db.init_app(app)
    migrate.init_app(app, db)
    login_manager.init_app(app)
    return app


def rename(user: User, name: str) -> None:
    with audit_context(reason="user's request"):
        user.name = name
        db.session.commit()


def names_before(user: User) -> list[str]:
    activity = audit_logger.activity_cls
    query = db.select(activity).where(activity.table_name == "user").order_by(activity.id)
    return [change.old_data["name"] for change in db.session.scalars(query) if change.old_data]
