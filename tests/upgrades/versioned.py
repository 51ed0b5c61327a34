"""A history of two tables, as applications record it with PostgreSQL-Audit or SQLAlchemy-Continuum."""

import os
import sys

import sqlalchemy as sa
from sqlalchemy import orm

try:
    from sqlalchemy.orm import declarative_base
except ImportError:
    from sqlalchemy.ext.declarative import declarative_base

Base = declarative_base()
library = sys.argv[1]


class User(Base):
    __tablename__ = "users"
    id = sa.Column(sa.Integer, primary_key=True)
    name = sa.Column(sa.Text)


if library == "postgresql_audit":
    from postgresql_audit import VersioningManager

    manager = VersioningManager(actor_cls=User, schema_name=os.environ.get("TRAIL_SCHEMA"))
    manager.init(Base)
else:
    from sqlalchemy_continuum import make_versioned
    from sqlalchemy_continuum.plugins import TransactionMetaPlugin

    make_versioned(user_cls="User", plugins=[TransactionMetaPlugin()])


class Article(Base):
    __tablename__ = "articles"
    __versioned__ = {}  # noqa: RUF012 - as these libraries want it
    id = sa.Column(sa.Integer, primary_key=True)
    title = sa.Column(sa.Text)
    price = sa.Column(sa.Numeric)


class Line(Base):
    __tablename__ = "lines"
    __versioned__ = {}  # noqa: RUF012 - as these libraries want it
    order_id = sa.Column(sa.Integer, primary_key=True)
    number = sa.Column(sa.Integer, primary_key=True)
    text = sa.Column(sa.Text)


orm.configure_mappers()
engine = sa.create_engine(os.environ["DATABASE_URL"])
if library == "postgresql_audit":
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS btree_gist"))
    # Before the tables that call their functions.
    manager.transaction_cls.__table__.create(engine)
    manager.activity_cls.__table__.create(engine)
Base.metadata.create_all(engine)
session = orm.Session(engine)
session.add(User(id=1, name="Ann"))
session.commit()


def by(actor: int) -> None:
    if library == "postgresql_audit":
        manager.values = {"actor_id": actor, "client_addr": "10.0.0.1"}
    else:
        from sqlalchemy_continuum import versioning_manager

        unit = versioning_manager.unit_of_work(session)
        transaction = unit.current_transaction or unit.create_transaction(session)
        transaction.user_id = actor
        transaction.remote_addr = "10.0.0.1"
        transaction.meta = {"reason": "test"}


by(1)
session.add_all([Article(id=1, title="Hello", price="12.50"), Line(order_id=7, number=1, text="a")])
session.commit()
by(1)
session.get(Article, 1).price = 13 if hasattr(session, "get") else None
session.commit()
by(1)
session.delete(session.get(Line, (7, 1)))
session.commit()
