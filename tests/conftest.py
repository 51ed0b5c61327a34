"""The PostgreSQL server of the tests, and a fresh database for each test."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import secrets
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from dev.postgres import bin_directory, postgres_server

pytest.register_assert_rewrite("tests.contract")

GIVEN_URL = os.environ.get("AUDIT_TEST_DATABASE_URL")
VERSION = os.environ.get("AUDIT_TEST_POSTGRES", "18")

# Copying files takes half of the time of logging each block, but waits for a checkpoint, which only costs nothing on a
# server of our own: its files stand in memory.
STRATEGY = "" if GIVEN_URL or int(VERSION) < 15 else "STRATEGY FILE_COPY"

# Models and statements are full of cycles: with the defaults, looking for garbage takes a tenth of the time.
gc.set_threshold(100_000, 20, 50)


def pytest_report_header() -> str:
    if GIVEN_URL:
        return f"PostgreSQL: {make_url(GIVEN_URL)!r}"
    try:
        return f"PostgreSQL: {VERSION} from {bin_directory(VERSION)}"
    except FileNotFoundError:
        return "PostgreSQL: not installed"


def pytest_sessionstart() -> None:
    """Stop the run at once if the given server cannot be used."""
    if not GIVEN_URL:
        return
    try:
        with _connect(_psycopg(GIVEN_URL), connect_timeout=5) as connection:
            row = connection.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
    except (ArgumentError, psycopg.Error) as error:
        raise pytest.UsageError(f"AUDIT_TEST_DATABASE_URL: {' '.join(str(error).split())}") from None
    if row != (True,):
        raise pytest.UsageError("AUDIT_TEST_DATABASE_URL: its role may not create databases")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Stop the run at once if a test needs a server and there is none."""
    if GIVEN_URL or not any("server" in getattr(item, "fixturenames", ()) for item in session.items):
        return
    try:
        bin_directory(VERSION)
    except FileNotFoundError as error:
        pytest.exit(f"AUDIT_TEST_POSTGRES={VERSION}: {error}", pytest.ExitCode.USAGE_ERROR)


def pytest_sessionfinish() -> None:
    """Look for garbage once, as pytest does five times afterwards, and leave alone what is found to be none."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """The URL of a server, with a role that may create databases."""
    if GIVEN_URL:
        yield _psycopg(GIVEN_URL)
    else:
        with postgres_server(VERSION, in_memory=True) as url:
            yield _psycopg(url)


@pytest.fixture(scope="session")
def new_database(server: URL) -> Callable[..., contextlib.AbstractContextManager[URL]]:
    """Make a database for the length of a block; ``template`` is the URL of one to copy."""
    return functools.partial(_new_database, server)


@pytest.fixture
def database(server: URL) -> Iterator[URL]:
    """The URL of a fresh database."""
    with _new_database(server) as url:
        yield url


@pytest.fixture(scope="module")
def module_database(server: URL) -> Iterator[URL]:
    """The URL of a database that the tests of one file share."""
    with _new_database(server) as url:
        yield url


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    """An engine on a fresh database."""
    engine = create_engine(database)
    yield engine
    engine.dispose()


@contextlib.contextmanager
def _new_database(server: URL, template: URL | None = None) -> Iterator[URL]:
    name = f"audit_test_{secrets.token_hex(6)}"
    copied = template.database if template and template.database else "template0"
    with _connect(server) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(
                sql.Identifier(name), sql.Identifier(copied), sql.SQL(STRATEGY)
            )
        )
    try:
        yield server.set(database=name)
    finally:
        with _connect(server) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _connect(url: URL, **options: int) -> psycopg.Connection:
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(conninfo, autocommit=True, **options)


def _psycopg(url: str) -> URL:
    return make_url(url).set(drivername="postgresql+psycopg")
