"""The application of app.py with a trail whose owner is not a superuser, set up as docs/least-privilege.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audit_core import AuditLog
from sqlalchemy import URL, create_engine
from sqlalchemy.orm import DeclarativeBase

from tests.contract.models import ArticleColumns, UserColumns

PAGE = Path(__file__).parents[2] / "docs/least-privilege.md"


class Base(DeclarativeBase):
    pass


class User(UserColumns, Base):
    __table_args__ = ({"info": {"versioned": {}}},)


class Article(ArticleColumns, Base):
    __table_args__ = ({"info": {"versioned": {}}},)


audit_log = AuditLog(Base, actor_cls=User, schema="audit")


@contextmanager
def installed(database: URL, owners: str) -> Iterator[URL]:
    """Create roles, tables and trail, and yield the URL with which the application comes."""
    admin = create_engine(database)
    roles = {role: f"{role}_{database.database}" for role in ("app", "app_owner", "audit_owner")}

    def named(sql: str) -> str:
        return re.sub(r"\b(app|app_owner|audit_owner)\b", lambda match: roles[match[1]], sql)

    with admin.begin() as connection:
        for statement in re.findall(r"^[A-Z].*?;", _block(owners), re.MULTILINE | re.DOTALL):
            connection.exec_driver_sql(named(statement))
        connection.exec_driver_sql(named("SET ROLE app_owner"))
        Base.metadata.create_all(connection)
        # The contract has the application truncate, too.
        connection.exec_driver_sql(named("GRANT TRUNCATE ON articles, users TO app"))
        connection.exec_driver_sql(named("SET ROLE audit_owner" if owners == "two owners" else "SET ROLE app_owner"))
        audit_log.install(connection)
        assert audit_log.check(connection) == []
        connection.exec_driver_sql("RESET ROLE")
    yield database.set(drivername="postgresql+psycopg", username=roles["app"], password="secret")
    with admin.begin() as connection:
        for role in roles.values():
            if connection.exec_driver_sql("SELECT FROM pg_roles WHERE rolname = %(role)s", {"role": role}).all():
                connection.exec_driver_sql(f"DROP OWNED BY {role} CASCADE")
                connection.exec_driver_sql(f"DROP ROLE {role}")
    admin.dispose()


def _block(owners: str) -> str:
    """Return the statements that the page has for a number of owners."""
    match = re.search(rf"<!-- sql: {owners} -->\n```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert match is not None
    return match[1]
