"""Changes in our own row format, which anything can write: what ``audit-log export --format jsonl`` writes."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from ..errors import ConfigurationError
from ..reading.values import dump_json
from .source import COLUMNS, Source

#: So many rows travel together.
_BATCH = 5_000
_VERBS = ("insert", "update", "delete", "snapshot")
#: What a row may say; an export has the rest, too.
_KNOWN = frozenset(
    {
        *("issued_at", "verb", "schema", "table", "old_data", "changed_data", "new_data"),
        *("transaction_id", "actor_id", "client_addr", "meta"),
        *("id", "actor", "row_key", "delta_depth", "db_user", "application_name", "changes"),
    }
)


class Rows(Source):
    """Takes rows from the client, in the order of their times."""

    name = "jsonl"

    def __init__(self, schema: str, rows: Iterable[Mapping[str, Any]], name: str | None = None) -> None:
        super().__init__(schema)
        self._given = rows
        if name is not None:
            self.name = name  # type: ignore[misc]

    def require(self, connection: Connection) -> None:
        pass

    def prepare(self, connection: Connection, pending: str) -> None:
        names = list(COLUMNS)
        arrays = ", ".join(f"CAST(:{name} AS text[])" for name in names)
        made = ", ".join(f"CAST(x.{name} AS {type_})" for name, type_ in COLUMNS.items())
        sql = f"INSERT INTO {pending} ({', '.join(names)}) SELECT {made} FROM unnest({arrays}) AS x({', '.join(names)})"
        insert = text(sql)
        remaining = enumerate(self._given, start=1)
        latest: str | None = None
        while batch := list(islice(remaining, _BATCH)):
            read = [_Row(number, row, self.schema) for number, row in batch]
            for each in read:
                if latest is not None and each.issued_at < latest:
                    raise each.wrong(f"is from {each.issued_at}, before the row above it: sort the rows by issued_at")
                latest = each.issued_at
            values = [each.values() for each in read]
            connection.execute(insert, {name: [row[name] for row in values] for name in names})

    def rows(self, pending: str) -> str:
        return f"SELECT {', '.join(COLUMNS)} FROM {pending}"


class _Row:
    """One row, checked."""

    def __init__(self, number: int, row: Mapping[str, Any], schema: str) -> None:
        self._number = number
        self._row = row
        self._schema = schema
        if not isinstance(row, Mapping):
            raise self.wrong("is not an object")
        if unknown := sorted(map(str, row.keys() - _KNOWN)):
            raise self.wrong(f"has {unknown[0]!r}, which is not known")
        #: In UTC, so that texts compare as times do.
        self.issued_at = self._time()

    def wrong(self, what: str) -> ConfigurationError:
        """Make the error of a row that cannot be taken."""
        return ConfigurationError(f"Row {self._number} {what}. Nothing was imported.")

    def values(self) -> dict[str, str | None]:
        """Return what the row says as the columns of an import, as texts."""
        row = self._row
        table, verb = row.get("table"), row.get("verb")
        if not isinstance(table, str) or not table:
            raise self.wrong("has no 'table'")
        if verb not in _VERBS:
            raise self.wrong(f"has the verb {verb!r}, and not one of {', '.join(_VERBS)}")
        if row.get("delta_depth") is not None:
            raise self.wrong("has only a part of the row before the change: its delta_depth is not null")
        old, changed = self._object("old_data"), self._changed()
        if verb in ("update", "delete") and not old:
            raise self.wrong(f"has no 'old_data', the row before the {verb}")
        if verb != "delete" and not changed:
            raise self.wrong("has no 'changed_data'")
        actor, address = row.get("actor_id"), self._address()
        of = row.get("transaction_id")
        meta = row.get("meta")
        texts = {
            "position": str(self._number),
            "transaction_key": dump_json([f"row {self._number}" if of is None else of, actor, address, meta]),
            "begun_at": self.issued_at,
            "issued_at": self.issued_at,
            "native_transaction_id": "0",
            "relid": "0",
            "schema": row.get("schema") or self._schema,
            "table_name": table,
            "verb": verb,
            "old_data": dump_json(old),
            "changed_data": dump_json(changed),
            "actor_id": None if actor is None else str(actor),
            "client_addr": address,
            "meta": None if meta is None else dump_json(meta),
        }
        if any("\x00" in text or "\\u0000" in text for text in texts.values() if text is not None):
            raise self.wrong("holds a NUL, which PostgreSQL cannot store")
        return texts

    def _time(self) -> str:
        given: Any = self._row.get("issued_at")
        try:
            # Python 3.10 does not read a Z.
            when = given if isinstance(given, dt.datetime) else dt.datetime.fromisoformat(given.replace("Z", "+00:00"))
        except (AttributeError, TypeError, ValueError):
            raise self.wrong(f"has {given!r} in 'issued_at', which is not a time like 2024-05-01T12:00:00Z") from None
        if when.tzinfo is None:
            raise self.wrong(f"has {given!r} in 'issued_at', without an offset from UTC")
        return when.astimezone(dt.timezone.utc).isoformat(timespec="microseconds")

    def _object(self, name: str) -> dict[str, Any]:
        value = self._row.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(f"has in {name!r} something that is not an object")
        return value or {}

    def _changed(self) -> dict[str, Any]:
        """Return what is new; ``new_data`` is the whole row after the change."""
        if "new_data" not in self._row:
            return self._object("changed_data")
        old, new = self._object("old_data"), self._object("new_data")
        return {name: value for name, value in new.items() if name not in old or old[name] != value}

    def _address(self) -> str | None:
        given = self._row.get("client_addr")
        if given is None:
            return None
        try:
            return str(ipaddress.ip_address(given))
        except ValueError:
            raise self.wrong(f"has {given!r} in 'client_addr', which is not an IP address") from None
