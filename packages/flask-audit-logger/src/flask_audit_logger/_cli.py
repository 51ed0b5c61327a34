"""The commands ``flask audit ...``: they parse, call and print."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click
from audit_core import AuditLog, Problem
from audit_core.audit_log import METADATA_KEY
from audit_core.tracking import is_tracked
from flask import current_app
from flask.cli import with_appcontext
from flask_sqlalchemy import SQLAlchemy


@click.group()
def audit() -> None:
    """The audit trail of the application."""


@audit.command()
@with_appcontext
def check() -> None:
    """List what is not recorded or protected as it should be; exit code 1 if there is anything."""
    problems = list(_problems(current_app.extensions["sqlalchemy"]))
    for problem in problems:
        click.echo(problem.message)
    if problems:
        sys.exit(1)
    click.echo("Everything is recorded as it should be.")


def _problems(db: SQLAlchemy) -> Iterator[Problem]:
    for bind_key, metadata in db.metadatas.items():
        audit_log: AuditLog | None = metadata.info.get(METADATA_KEY)
        if audit_log is not None:
            with db.engines[bind_key].connect() as connection:
                yield from audit_log.check(connection)
            continue
        for name, table in sorted(metadata.tables.items()):
            if is_tracked(table):
                yield Problem(name, f"Table {name!r} is marked as versioned, and its MetaData has no AuditLogger.")
