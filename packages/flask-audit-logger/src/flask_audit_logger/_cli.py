"""The commands ``flask audit ...``: those of ``audit-log``, on the databases of the app."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click
from audit_core import Problem
from audit_core.cli.siblings import AuditGroup, CommandError, Database, TrailSource
from audit_core.siblings import find_audit_log, is_audited
from flask import current_app
from flask.cli import ScriptInfo
from flask_sqlalchemy import SQLAlchemy


@dataclass(frozen=True)
class FlaskSource(TrailSource):
    """The databases of the app that the ``flask`` command loads."""

    ctx: click.Context
    script: ScriptInfo
    bind_key: str | None

    def database(self) -> Database:
        """Return the database of the bind that was asked for; without one the default, or the only one with a trail."""
        binds = self._db().metadatas
        recorded = [key for key, metadata in binds.items() if find_audit_log(metadata) is not None]
        if self.bind_key is None and None not in recorded and len(recorded) == 1:
            return self._of_bind(recorded[0])
        if self.bind_key in recorded:
            return self._of_bind(self.bind_key)
        if not recorded:
            raise CommandError("The app has no trail: make an AuditLogger(db) where its models are.")
        known = ", ".join(repr(key) for key in recorded if key is not None) or "none"
        if self.bind_key is None:
            raise CommandError(f"The app has several trails. Choose one with --bind: {known}.")
        raise CommandError(f"There is no bind {self.bind_key!r} with a trail; those with one are {known}.")

    def problems(self) -> Iterator[Problem]:
        if self.bind_key is not None:
            yield from self.database().problems()
            return
        for bind_key, metadata in self._db().metadatas.items():
            if find_audit_log(metadata) is not None:
                yield from self._of_bind(bind_key).problems()
                continue
            for name, table in sorted(metadata.tables.items()):
                if is_audited(table):
                    yield Problem(name, f"Table {name!r} is declared 'versioned', and its MetaData has no AuditLogger.")

    def _of_bind(self, bind_key: str | None) -> Database:
        db = self._db()
        engine = db.engines.get(bind_key)
        if engine is None:
            raise CommandError(f"The app has no database for the bind {bind_key!r}. Configure it in SQLALCHEMY_BINDS.")
        audit_log = find_audit_log(db.metadatas[bind_key])
        assert audit_log is not None
        return Database(audit_log, engine)

    def _db(self) -> SQLAlchemy:
        # Only now, so that --help needs no app.
        if not current_app:
            self.ctx.with_resource(self.script.load_app().app_context())
        db: SQLAlchemy | None = current_app.extensions.get("sqlalchemy")
        if db is None:
            raise CommandError(f"The app {current_app.name!r} has no Flask-SQLAlchemy: call db.init_app(app).")
        return db


@click.group(cls=AuditGroup)
@click.option("--bind", metavar="KEY", help="The bind whose trail is meant, where an app has several.")
@click.pass_context
def audit(ctx: click.Context, bind: str | None) -> None:
    """Read the audit trail of the application, and take changes back."""
    ctx.obj = FlaskSource(ctx, ctx.ensure_object(ScriptInfo), bind)
