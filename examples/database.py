"""A database for an example: on an embedded PostgreSQL, or on a server of one's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from dev.postgres import postgres_server

from .errors import DemoError

SETTING = "AUDIT_DATABASE_URL"


@dataclass(frozen=True)
class Database:
    """A fresh database."""

    url: URL
    #: What ``server_version`` says.
    version: str
    #: Where an embedded server keeps its files; None on a server of one's own.
    data_directory: str | None

    @property
    def url_text(self) -> str:
        """The URL with its password."""
        return self.url.render_as_string(hide_password=False)


@contextmanager
def demo_database() -> Iterator[Database]:
    """Make a database on the server that the environment names, or on an embedded one; drop it in the end.

    :raises DemoError: if there is no server, or no right to create a database.
    """
    given = os.environ.get(SETTING, "").strip()
    if given:
        with _database(_server_url(given), embedded=False) as database:
            yield database
    else:
        with _embedded_server() as url, _database(_server_url(url), embedded=True) as database:
            yield database


@contextmanager
def _embedded_server() -> Iterator[str]:
    hint = f"Use another server: {SETTING}=postgresql+psycopg://user:password@host/database"
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_server())
        except (FileNotFoundError, RuntimeError) as error:
            raise DemoError(f"No embedded PostgreSQL. {error}\n{hint}") from error
        yield url


@contextmanager
def _database(server: URL, *, embedded: bool) -> Iterator[Database]:
    """Create a database of a name that nobody has, so that no other is touched."""
    name = f"audit_demo_{secrets.token_hex(4)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 10})
    created = False
    try:
        try:
            with engine.connect() as connection:
                version = _show(connection, "server_version").split()[0]
                data_directory = _show(connection, "data_directory") if embedded else None
                connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'"))
                created = True
        except DBAPIError as error:
            what = "the embedded server" if embedded else f"{SETTING}, {server.render_as_string()}"
            raise DemoError(f"{what}: {_first_line(error)}") from error
        yield Database(server.set(database=name), version, data_directory)
    finally:
        if created and not embedded:
            _drop(server, name)
        engine.dispose()


def _drop(server: URL, name: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 10})
    try:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    except DBAPIError as error:
        raise DemoError(f"The database {name} is still there: {_first_line(error)}") from error
    finally:
        engine.dispose()


def _server_url(given: str) -> URL:
    try:
        url = make_url(given)
    except ArgumentError:
        raise DemoError(
            f"{SETTING} is not a URL. Write it as postgresql+psycopg://user:password@host:5432/database"
        ) from None
    if url.get_backend_name() != "postgresql":
        raise DemoError(f"{SETTING} names {url.drivername!r}, and the audit trail needs PostgreSQL.")
    return url.set(drivername="postgresql+psycopg")


def _show(connection: Connection, setting: str) -> str:
    value: str = connection.execute(text(f"SHOW {setting}")).scalar_one()
    return value


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]
