"""What the log, an actor and a record show, as a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from audit_core import HistoryError
from audit_core.siblings import Csv, JsonLines, find_table, parse_key, select_columns
from flask import Response, request
from flask.typing import ResponseReturnValue
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from .answering import Answering, argument
from .filters import arguments, given
from .matching import all_matching, without_reads

#: A file has not more activities and bytes: a worker of the application is busy as long as it is written.
LIMIT, LARGEST = 100_000, 500_000_000
#: So many activities are in memory at once; each may have megabytes.
_BATCH = 100
#: A file of more bytes stands on the disk.
_IN_MEMORY = 1_000_000
_PART = 65_536
_FORMATS = {"csv": (Csv, "text/csv"), "jsonl": (JsonLines, "application/x-ndjson")}


class Exports(Answering):
    """Activities as files, with the columns of ``audit-log export``."""

    def export_log(self, format: str) -> ResponseReturnValue:
        fields = given(request.args)
        with self.connections.reading({"format": format, **fields}) as own:
            names = self.presentation.start()
            found = self.actors_meant(own, names, fields.get("actor"))
            if len(found) > 1:
                meant = ", ".join(names.actor_with_key(key) for key, _ in found)
                raise HistoryError(f"There are several actors {fields['actor']!r}: {meant}. Give the key of one.")
            if found:
                fields["actor"] = str(found[0][0])
            filters = arguments(self.logger, fields, self.presentation.zones.asked())
            return self._answer(own, all_matching(self.logger, without_reads(filters)), format, "audit-log")

    def export_record(self, format: str) -> ResponseReturnValue:
        name, row_key = argument("table"), argument("key")
        table = find_table(self.scope, name)
        query = self.history_asked(table, parse_key(table, row_key))
        asked: dict[str, Any] = {"format": format}
        if request.args.get("column"):
            asked["column"] = request.args["column"]
            of_column = self.logger.activities(table=table, column=asked["column"]).whereclause
            query = query if of_column is None else query.where(of_column)
        with self.connections.reading(asked, name, row_key) as own:
            return self._answer(own, query, format, "audit-record")

    def _answer(self, own: Session, query: Select[Any], format_: str, name: str) -> Response:
        """Answer with a file that is complete before its first byte is sent.

        So an error is a page, not the end of what looks like a file, the length shows what got lost on the way, and
        who loads it slowly has no connection to the database.
        """
        # Most often an index answers at once what would take seconds to write.
        counted = query.order_by(None).with_only_columns(self.logger.activity_cls.id).limit(LIMIT + 1).subquery()
        if (own.scalar(select(func.count()).select_from(counted)) or 0) > LIMIT:
            raise _too_large(f"{LIMIT:,} changes")
        with ExitStack() as stack:
            file = stack.enter_context(SpooledTemporaryFile(_IN_MEMORY))
            self._write(own, select_columns(self.logger, query), format_, file)
            length = file.tell()
            file.seek(0)
            response = Response(_parts(file), mimetype=_FORMATS[format_][1])
            response.content_length = length
            response.headers["Content-Disposition"] = f"attachment; filename={name}.{format_}"
            # Where nobody loads it any more, or only asked for the head.
            response.call_on_close(stack.pop_all().close)
        return response

    def _write(self, own: Session, query: Select[Any], format_: str, file: IO[bytes]) -> None:
        writer = _FORMATS[format_][0](file)
        names = self.presentation.start()
        with own.execute(query, execution_options={"yield_per": _BATCH}) as result:
            for rows in result.mappings().partitions():
                names.load(own, {row["actor_id"] for row in rows})
                writer.write([{**row, "actor": names.name_of_actor(row["actor_id"])} for row in rows])
                if file.tell() > LARGEST:
                    raise _too_large(f"{LARGEST // 1_000_000:,} MB")


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while part := file.read(_PART):
            yield part


def _too_large(most: str) -> HistoryError:
    return HistoryError(f"That is more than {most}. Ask for less, such as a shorter time, or run: flask audit export")
