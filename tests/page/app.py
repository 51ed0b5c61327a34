"""An app with a page; who may do what stands in a dict that the tests change."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import LoginManager, UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON, URL, ForeignKey, ForeignKeyConstraint, Index, Numeric
from sqlalchemy.orm import Mapped, mapped_column

db = SQLAlchemy()


class User(UserMixin, db.Model):  # type: ignore[name-defined, misc]
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Article(db.Model):  # type: ignore[name-defined, misc]
    __tablename__ = 'odd "name"/ä'
    __table_args__ = ({"info": {"versioned": {"mask": ["secret"]}}},)

    key: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str | None]
    details: Mapped[Any | None] = mapped_column(JSON)
    price: Mapped[Any | None] = mapped_column(Numeric)
    secret: Mapped[str | None]


class Comment(db.Model):  # type: ignore[name-defined, misc]
    """Belongs to an article, and to the comment that it answers."""

    __table_args__ = ({"info": {"versioned": {"exclude": ["draft"]}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    article_key: Mapped[str | None] = mapped_column(ForeignKey(Article.key), index=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("comment.id"), index=True)
    title: Mapped[str | None]
    draft: Mapped[str | None]
    extra: Mapped[Any | None] = mapped_column(JSON)


class Line(db.Model):  # type: ignore[name-defined, misc]
    """Has a key of two columns, one of which leads to an article."""

    __table_args__ = ({"info": {"versioned": {}}},)

    article_key: Mapped[str] = mapped_column(ForeignKey(Article.key), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)


class Part(db.Model):  # type: ignore[name-defined, misc]
    """Belongs to a line by two columns, which its index has in another order."""

    __table_args__ = (
        ForeignKeyConstraint(["article_key", "line"], ["line.article_key", "line.number"]),
        Index("part_line_idx", "line", "article_key", "id"),
        {"info": {"versioned": {}}},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    article_key: Mapped[str]
    line: Mapped[int]


class Topic(db.Model):  # type: ignore[name-defined, misc]
    """Is referred to, and not audited."""

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


class Vote(db.Model):  # type: ignore[name-defined, misc]
    """Belongs to an article, and no index finds it."""

    __table_args__ = ({"info": {"versioned": {}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    article_key: Mapped[str | None] = mapped_column(ForeignKey(Article.key))
    voter_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))
    topic_id: Mapped[int | None] = mapped_column(ForeignKey(Topic.id))


class Visit(db.Model):  # type: ignore[name-defined, misc]
    """Belongs to an article, and is not audited."""

    id: Mapped[int] = mapped_column(primary_key=True)
    article_key: Mapped[str | None] = mapped_column(ForeignKey(Article.key), index=True)


audit_logger = AuditLogger(db)


def create_app(url: URL, *, log_reads: bool = False, with_undo: bool = True, **page: Any) -> Flask:
    app = Flask("tests")
    app.config.update(SECRET_KEY="tests", SQLALCHEMY_DATABASE_URI=url, MAY={"read": True, "undo": True})
    db.init_app(app)
    login_manager = LoginManager(app)

    @login_manager.request_loader
    def load_user(request: Any) -> Any:
        return db.session.get(User, 1)

    audit_logger.init_page(
        app,
        access=lambda: app.config["MAY"]["read"],
        allow_undo=(lambda: app.config["MAY"]["undo"]) if with_undo else None,
        log_reads=log_reads,
        **{"login_url": lambda: "/login", **page},
    )
    return app
