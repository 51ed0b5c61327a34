"""SQLAlchemy-Continuum, whose tables of versions say what each row was, from one transaction to the next."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from sqlalchemy import Connection, text

from ..errors import ConfigurationError
from ..lifecycle.owner import statement
from ..quoting import quote
from .source import COLUMNS, Source, in_text, quoted

_SUFFIX = "_version"
_OWN = ("transaction_id", "end_transaction_id", "operation_type")
_VERSION_TABLES = (
    "SELECT c.relname AS name, array_agg(CAST(a.attname AS text) ORDER BY a.attnum) AS columns,"
    " ARRAY(SELECT CAST(k.attname AS text) FROM pg_index AS i JOIN pg_attribute AS k"
    "  ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey)"
    "  WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY array_position(i.indkey, k.attnum)) AS key "
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
    "WHERE n.nspname = :of_schema AND c.relkind IN ('r', 'p') AND c.relname LIKE '%\\_version' "
    "GROUP BY c.oid, c.relname HAVING 'transaction_id' = ANY (array_agg(CAST(a.attname AS text)))"
    " AND 'operation_type' = ANY (array_agg(CAST(a.attname AS text))) ORDER BY c.relname"
)
_ADDRESSES = "SELECT DISTINCT t.remote_addr FROM {schema}.transaction AS t WHERE t.remote_addr IS NOT NULL"


@dataclass(frozen=True)
class _Versions:
    """A table of versions."""

    name: str
    columns: list[str]
    #: The columns that tell the rows apart, without the transaction.
    key: list[str]

    @property
    def table_name(self) -> str:
        return self.name.removesuffix(_SUFFIX)

    @property
    def extra(self) -> list[str]:
        """The columns that are not those of a row: Continuum's own, and whether another one was modified."""
        modified = [each for each in self.columns if each.endswith("_mod") and each[:-4] in self.columns]
        return [*_OWN, *modified]


class SQLAlchemyContinuum(Source):
    """Puts the versions into the order of their transactions, and compares each with the one before."""

    name = "sqlalchemy-continuum"

    def require(self, connection: Connection) -> None:
        self.require_columns(connection, "transaction", {"id", "issued_at"})
        if not self._versions(connection):
            raise ConfigurationError(
                f"Schema {self.schema!r} has no table of versions: none whose name ends with '_version' and that has "
                "the columns 'transaction_id' and 'operation_type'."
            )

    def prepare(self, connection: Connection, pending: str) -> None:
        who = self.columns_of(connection, "transaction")
        meta = self._meta(connection, "remote_addr" in who)
        actor = "CAST(t.user_id AS text)" if "user_id" in who else "CAST(NULL AS text)"
        address = "CAST(NULL AS text)"
        unusable: list[str] = []
        if "remote_addr" in who:
            address = "CASE WHEN t.remote_addr <> ALL (CAST(:unusable AS text[])) THEN t.remote_addr END"
            found = connection.execute(statement(_ADDRESSES, schema=self.schema)).scalars()
            unusable = [each for each in found if not _is_address(each)]
        changes = " UNION ALL ".join(self._changes(each) for each in self._versions(connection))
        names = [name for name in COLUMNS if name != "position"]
        at = "t.issued_at AT TIME ZONE 'UTC'"
        sql = (
            f"INSERT INTO {pending} (position, {', '.join(names)}) "
            "SELECT row_number() OVER (ORDER BY c.transaction_id, c.table_name, c.row_key),"
            f" CAST(c.transaction_id AS text), {at}, {at}, 0, 0, {quoted(self.schema)}, c.table_name, c.verb,"
            f" c.old_data, c.changed_data, {actor}, {address}, {meta} "
            f"FROM ({changes}) AS c LEFT JOIN {self.named('transaction')} AS t ON t.id = c.transaction_id"
        )
        connection.execute(text(sql), {"unusable": unusable} if "remote_addr" in who else {})

    def rows(self, pending: str) -> str:
        return f"SELECT {', '.join(COLUMNS)} FROM {pending}"

    def _versions(self, connection: Connection) -> list[_Versions]:
        found = connection.execute(statement(_VERSION_TABLES), {"of_schema": self.schema})
        return [
            _Versions(row.name, list(row.columns), [each for each in row.key if each != "transaction_id"])
            for row in found
        ]

    def _meta(self, connection: Connection, has_address: bool) -> str:
        """Say what else is known of a transaction ``t``."""
        parts = []
        if has_address:
            unusable = "CASE WHEN t.remote_addr = ANY (CAST(:unusable AS text[])) THEN t.remote_addr END"
            parts.append(f"jsonb_build_object('remote_addr', {unusable})")
        if {"transaction_id", "key", "value"} <= self.columns_of(connection, "transaction_meta").keys():
            said = f"SELECT jsonb_object_agg(m.key, m.value) FROM {self.named('transaction_meta')} AS m"
            parts.append(f"coalesce(({said} WHERE m.transaction_id = t.id), jsonb '{{}}')")
        return f"jsonb_strip_nulls({' || '.join(parts)})" if parts else "CAST(NULL AS jsonb)"

    def _changes(self, versions: _Versions) -> str:
        """Compare each version with the one before it: what it found, and what it changed.

        The first that is known of a row, if it is no insert, says only how the row was at that time: a snapshot.
        """
        order = ", ".join(f"v.{in_text(quote(each))}" for each in versions.key)
        window = f"(PARTITION BY {order} ORDER BY v.transaction_id)"
        extra = ", ".join(map(quoted, versions.extra))
        data = f"to_jsonb(v) - CAST(ARRAY[{extra}] AS text[])"
        key = f"CAST(jsonb_build_array({order}) AS text)"
        return f"""
            SELECT d.transaction_id, {quoted(versions.table_name)} AS table_name, d.row_key, d.verb,
                   CASE d.verb WHEN 'update' THEN d.before WHEN 'delete' THEN coalesce(d.before, d.data)
                               ELSE jsonb '{{}}' END AS old_data,
                   CASE d.verb WHEN 'update' THEN coalesce((
                                    SELECT jsonb_object_agg(n.key, n.value) FROM jsonb_each(d.data) AS n
                                    WHERE n.value IS DISTINCT FROM d.before -> n.key), jsonb '{{}}')
                               WHEN 'delete' THEN jsonb '{{}}' ELSE d.data END AS changed_data
            FROM (
                SELECT w.*, CASE WHEN w.operation_type = 2 THEN 'delete'
                                 WHEN w.before IS NOT NULL AND w.kind_before <> 2 THEN 'update'
                                 WHEN w.operation_type = 1 AND w.kind_before IS NULL THEN 'snapshot'
                                 ELSE 'insert' END AS verb
                FROM (
                    SELECT v.transaction_id, v.operation_type, {key} AS row_key, {data} AS data,
                           lag({data}) OVER {window} AS before, lag(v.operation_type) OVER {window} AS kind_before
                    FROM {self.named(versions.name)} AS v
                ) AS w
            ) AS d
        """


def _is_address(given: str) -> bool:
    try:
        ipaddress.ip_address(given)
    except ValueError:
        return False
    return True
