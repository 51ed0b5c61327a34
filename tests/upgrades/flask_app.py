"""An application as it was written for flask-audit-logger 1.x and 2.x; the version of today runs it as it stands."""

import os

from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import LoginManager, UserMixin, login_user
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

#: The key of 1.x is that of today.
KEY = os.environ.get("INFO_KEY", "audit_logged")
#: What marks a table without options.
PLAIN = {} if KEY == "versioned" else True

db = SQLAlchemy()


class User(UserMixin, db.Model):
    __tablename__ = "users"
    __table_args__ = ({"info": {KEY: PLAIN}},)
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Article(db.Model):
    __tablename__ = "articles"
    __table_args__ = ({"info": {KEY: {"exclude": ["views"]}}},)
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    views: Mapped[int] = mapped_column(default=0)
    author_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


if os.environ.get("WITH_TAGS"):

    class Tag(db.Model):
        __tablename__ = "tags"
        __table_args__ = ({"info": {KEY: {}}},)
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]


audit_logger = AuditLogger(db, **({"schema": os.environ["TRAIL_SCHEMA"]} if os.environ.get("TRAIL_SCHEMA") else {}))
app = Flask(__name__)
app.config.update(SQLALCHEMY_DATABASE_URI=os.environ["DATABASE_URL"], SECRET_KEY="test")
db.init_app(app)
Migrate(app, db)
LoginManager(app).user_loader(lambda id: db.session.get(User, int(id)))


@app.post("/write")
def write() -> str:
    """What was written in the years of the old trail."""
    ann, ben = User(name="Ann"), User(name="Ben")
    db.session.add_all([ann, ben])
    db.session.commit()
    login_user(ann)
    db.session.add(Article(title="Hello", author_id=ann.id))
    db.session.add(Article(title="Bye"))
    db.session.commit()
    db.session.get(Article, 1).title = "Hello again"
    db.session.commit()
    db.session.get(Article, 1).views = 5
    db.session.commit()
    db.session.delete(db.session.get(Article, 2))
    db.session.commit()
    return "done"
