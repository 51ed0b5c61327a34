"""``audit-log``: the trail of an application of which only the MetaData is known."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import click
from sqlalchemy import Engine, MetaData, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from audit_core import AuditLog
from audit_core.audit_log import find_audit_log

from .errors import CommandError
from .group import AuditGroup
from .source import Database, TrailSource


@dataclass(frozen=True)
class OptionsSource(TrailSource):
    """The database and the MetaData that the options name."""

    url: str | None
    metadata: str | None

    def database(self) -> Database:
        audit_log = imported_audit_log(self.metadata)
        engine = make_engine(self.url)
        click.get_current_context().call_on_close(engine.dispose)
        audit_log.attach(engine)
        return Database(audit_log, engine)


@click.group(cls=AuditGroup)
@click.option("--url", envvar="AUDIT_LOG_URL", show_envvar=True, help="The database, as a URL of SQLAlchemy.")
@click.option(
    "--metadata",
    metavar="MODULE:NAME",
    envvar="AUDIT_LOG_METADATA",
    show_envvar=True,
    help="What has the tables: a declarative base, registry, MetaData or AuditLog. "
    "The module is looked for in the current directory, too.",
)
@click.version_option(package_name="audit-core")
@click.pass_context
def audit_log(ctx: click.Context, url: str | None, metadata: str | None) -> None:
    """Read the audit trail of a database, and take changes back.

    --url and --metadata are needed, or their environment variables.
    """
    ctx.obj = OptionsSource(url, metadata)


def imported_audit_log(path: str | None) -> AuditLog:
    """Import a MetaData by a path such as ``models:Base``, and return the AuditLog that records its tables."""
    if path is None:
        raise CommandError("Whose trail? Give --metadata MODULE:NAME, or set AUDIT_LOG_METADATA.")
    module, _, name = path.partition(":")
    if not module or not name:
        raise CommandError(f"--metadata is {path!r}; write MODULE:NAME, such as models:Base.")
    found = _imported(module, name)
    metadata = found if isinstance(found, MetaData) else getattr(found, "metadata", None)
    if not isinstance(metadata, MetaData):
        raise CommandError(f"{path!r} has no MetaData; name a declarative base, a registry, a MetaData or an AuditLog.")
    audit_log = find_audit_log(metadata)
    if audit_log is None:
        raise CommandError(f"The MetaData of {path!r} has no AuditLog. Name the module that makes AuditLog(...).")
    return audit_log


def _imported(module: str, name: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return attrgetter(name)(importlib.import_module(module))
    except ImportError as error:
        raise CommandError(f"Module {module!r} cannot be imported: {error}.") from None
    except AttributeError:
        raise CommandError(f"There is no {name!r} in module {module!r}.") from None


def make_engine(url: str | None) -> Engine:
    """Make an engine, and say in one line why a URL cannot be used."""
    if url is None:
        raise CommandError("Which database? Give --url, or set AUDIT_LOG_URL.")
    try:
        # To know how to read an hstore, psycopg looks for the type with a comparison that others can have made.
        own = {"use_native_hstore": False} if make_url(url).get_driver_name() in ("psycopg", "psycopg2") else {}
        engine = create_engine(url, **own)
    except ArgumentError:
        # The text of the error would show a password.
        message = "--url cannot be read; write it as postgresql+psycopg://user:password@host/database."
        raise CommandError(message) from None
    except ModuleNotFoundError as error:
        raise CommandError(f"--url asks for the driver {error.name!r}, which is not installed.") from None
    if engine.dialect.is_async:
        raise CommandError(f"--url has the asynchronous driver {engine.dialect.driver!r}; use postgresql+psycopg://.")
    return engine
