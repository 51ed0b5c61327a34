"""The tables of the register; the trail records all three."""

from __future__ import annotations

import datetime as dt

from flask_audit_logger import AuditLogger
from flask_login import UserMixin
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import DateTime
from werkzeug.security import check_password_hash, generate_password_hash


class Base(DeclarativeBase):
    """The base of the models."""


db = SQLAlchemy(model_class=Base)


class User(UserMixin, db.Model):
    """Somebody who keeps the register."""

    __tablename__ = "users"
    # Neither may stand in the trail; a login, which changes last_login alone, records nothing.
    __table_args__ = ({"info": {"versioned": {"exclude": ["password_hash", "last_login"]}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    password_hash: Mapped[str]
    last_login: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))

    def set_password(self, password: str) -> None:
        """Store a hash of the password."""
        self.password_hash = generate_password_hash(password)

    def has_password(self, password: str) -> bool:
        """Return whether this is the user's password."""
        return check_password_hash(self.password_hash, password)


class Country(db.Model):
    """A country of ISO 3166-1."""

    __tablename__ = "countries"
    __table_args__ = ({"info": {"versioned": {}}},)

    alpha_2: Mapped[str] = mapped_column(primary_key=True)
    alpha_3: Mapped[str] = mapped_column(unique=True)
    numeric: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    official_name: Mapped[str | None]

    subdivisions: Mapped[list[Subdivision]] = relationship(back_populates="country", order_by="Subdivision.code")


class Subdivision(db.Model):
    """A state, province, county or the like, of ISO 3166-2."""

    __tablename__ = "subdivisions"
    __table_args__ = ({"info": {"versioned": {}}},)

    code: Mapped[str] = mapped_column(primary_key=True)
    country_code: Mapped[str] = mapped_column(ForeignKey("countries.alpha_2"), index=True)
    name: Mapped[str]
    category: Mapped[str]

    country: Mapped[Country] = relationship(back_populates="subdivisions")


# After the models; those declared later count too.
audit_logger = AuditLogger(db)
