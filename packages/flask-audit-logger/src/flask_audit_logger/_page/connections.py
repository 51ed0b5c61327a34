"""The connections of the page, apart from the session of the application; and the record of who looked."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from audit_core import AuditLog
from audit_core.siblings import find_table, qualified, schema_of, scope_of
from flask import request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from . import queries


@dataclass(frozen=True)
class Connections:
    """Opens connections to the database of one logger, in the app that is asked."""

    logger: AuditLog
    db: SQLAlchemy
    bind_key: str | None
    #: Whether each view is recorded.
    log_reads: bool
    #: How long a statement may take.
    patience: dt.timedelta

    @contextmanager
    def reading(self, asked: dict[str, Any], table: str | None = None, row_key: str | None = None) -> Iterator[Session]:
        """Open a session that can only read, after recording what is read.

        :param asked: what was asked for.
        :param table: the table of the record that is read, if it is one.
        """
        with self.writing() as connection:
            self.record_read(connection, asked, table, row_key)
            with self.read_on(connection) as own:
                yield own

    @contextmanager
    def reading_unrecorded(self) -> Iterator[Session]:
        """Open a session that can only read, for a page of the application, which records itself who looks."""
        with self.db.engines[self.bind_key].connect() as connection, self.read_on(connection) as own:
            yield own

    @contextmanager
    def read_on(self, connection: Connection) -> Iterator[Session]:
        """Open a session that can only read on a connection that has no transaction."""
        queries.start_reading(connection, self.patience)
        with Session(connection) as own:
            yield own
        connection.rollback()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a connection that may write."""
        with self.db.engines[self.bind_key].connect() as connection:
            yield connection

    def record_read(
        self, connection: Connection, asked: dict[str, Any], table: str | None = None, row_key: str | None = None
    ) -> None:
        """Record that somebody looks, in a transaction of its own: what follows may not write."""
        if not self.log_reads:
            return
        schema = name = None
        if table is not None:
            scope = scope_of(self.logger)
            found = find_table(scope, table)
            schema, name = connection.scalar(schema_of(scope, found)), found.name
        self.logger.send_context(connection)
        function = qualified("audit_logger_record_read", self.logger.schema).replace(":", "\\:")
        connection.execute(
            text(
                f"SELECT {function}("
                "CAST(:schema AS text), CAST(:name AS text), CAST(:row_key AS text), CAST(:filter AS jsonb))"
            ),
            {
                "schema": schema,
                "name": name,
                "row_key": row_key,
                "filter": json.dumps({"view": request.endpoint, **asked}),
            },
        )
        connection.commit()
