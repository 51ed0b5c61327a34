"""What the log, an actor and a record show, as a file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from audit_core import HistoryError
from audit_core.siblings import Csv, JsonLines, find_table, parse_key, select_columns
from flask import Response, request, stream_with_context
from flask.typing import ResponseReturnValue
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from .answering import Answering, argument
from .filters import arguments, given
from .matching import all_matching, without_reads

#: A file has not more activities: a worker of the application is busy as long as somebody loads it.
LIMIT = 100_000
#: So many activities are in memory at once.
_BATCH = 2000
_FORMATS = {"csv": (Csv, "text/csv"), "jsonl": (JsonLines, "application/x-ndjson")}


class Exports(Answering):
    """Activities as files, with the columns of ``audit-log export``."""

    def export_log(self, format: str) -> ResponseReturnValue:
        fields = given(request.args)
        with ExitStack() as stack:
            own = stack.enter_context(self.connections.reading({"format": format, **fields}))
            found = self.actors_meant(own, self.presentation.start(), fields.get("actor"))
            if len(found) > 1:
                raise HistoryError(f"There are several actors {fields['actor']!r}. Give the key of one.")
            if found:
                fields["actor"] = str(found[0][0])
            filters = arguments(self.logger, fields, self.presentation.zones.asked())
            return self._answer(own, stack, all_matching(self.logger, without_reads(filters)), format, "audit-log")

    def export_record(self, format: str) -> ResponseReturnValue:
        name, row_key = argument("table"), argument("key")
        table = find_table(self.scope, name)
        query = self.logger.history(table, parse_key(table, row_key))
        if not request.args.get("reads"):
            query = query.where(self.logger.activity_cls.verb != "read")
        with ExitStack() as stack:
            own = stack.enter_context(self.connections.reading({"format": format}, name, row_key))
            return self._answer(own, stack, query, format, "audit-record")

    def _answer(self, own: Session, stack: ExitStack, query: Select[Any], format_: str, name: str) -> Response:
        """Answer with a file, whose first part is read now, so that an error is a page."""
        counted = query.order_by(None).with_only_columns(self.logger.activity_cls.id).limit(LIMIT + 1).subquery()
        if (own.scalar(select(func.count()).select_from(counted)) or 0) > LIMIT:
            raise HistoryError(
                f"That is more than {LIMIT:,} changes. Ask for less, such as a shorter time, or run: flask audit export"
            )
        parts = self._parts(own, select_columns(self.logger, query), format_)
        first, kept = next(parts), stack.pop_all()

        def body() -> Iterator[bytes]:
            with kept:
                yield first
                yield from parts

        response = Response(stream_with_context(body()), mimetype=_FORMATS[format_][1])
        response.headers["Content-Disposition"] = f"attachment; filename={name}.{format_}"
        # The connection is kept until the file is loaded; here nobody loads it any more, or only asked for the head.
        response.call_on_close(kept.close)
        return response

    def _parts(self, own: Session, query: Select[Any], format_: str) -> Iterator[bytes]:
        file = io.BytesIO()
        writer = _FORMATS[format_][0](file)
        names = self.presentation.start()
        with own.execute(query, execution_options={"yield_per": _BATCH}) as result:
            for rows in result.mappings().partitions():
                names.load(own, {row["actor_id"] for row in rows})
                writer.write([{**row, "actor": names.name_of_actor(row["actor_id"])} for row in rows])
                yield _taken(file)
        yield _taken(file)


def _taken(file: io.BytesIO) -> bytes:
    """Take what was written since the last time."""
    part = file.getvalue()
    file.seek(0)
    file.truncate()
    return part
