"""The rows of today, as they would be recorded."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    Subquery,
    Table,
    Text,
    case,
    column,
    func,
    literal,
    null,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from ..errors import HistoryError
from ..quoting import qualified
from ..reading import schema_of
from ..reading.audited_table import AuditedTable
from ..reading.exact import ExactText, exact_text, operate, pg

if TYPE_CHECKING:
    from ..scope import Scope

# What json may hold and jsonb cannot, and the trail keeps as "$unstorable": NUL, half a surrogate pair, huge numbers.
_UNSTORABLE = r"\\u(0000|[dD][89a-fA-F])|[eE][+-]?\d{5}|\d{255}"
_LONG = 100_000_000

_RELATION = text(
    "SELECT c.oid, c.relkind::text AS relkind, pg_catalog.row_security_active(c.oid) AS row_security_active,"
    " pg_catalog.has_any_column_privilege(c.oid, 'SELECT'::text) AS is_readable, current_user::text AS reader "
    "FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
    "WHERE n.nspname = CAST(:schema AS text) AND c.relname = CAST(:name AS text) AND c.relkind IN ('r', 'p')"
)

# Of the catalog, a query sees the snapshot, and a function what is committed.
_IS_REWRITTEN = text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c"
    " WHERE (c.oid = CAST(:relid AS oid) OR c.oid IN"
    "  (SELECT t.relid FROM pg_catalog.pg_partition_tree(CAST(:relid AS pg_catalog.regclass)) AS t))"
    " AND c.relkind = 'r' AND c.relfilenode <> pg_catalog.pg_relation_filenode(c.oid))"
)

# A column whose type has a cast to json that somebody declared is left out, as its function would run with the rights
# of whoever verifies. Functions of a superuser, such as those of extensions, may.
_COLUMNS = text(
    "WITH RECURSIVE part (attnum, type) AS ("
    " SELECT a.attnum, a.atttypid FROM pg_catalog.pg_attribute AS a"
    " WHERE a.attrelid = CAST(:relid AS oid) AND a.attnum > 0 AND NOT a.attisdropped"
    " UNION"
    " SELECT part.attnum, inner_type.oid"
    " FROM part JOIN pg_catalog.pg_type AS t ON t.oid = part.type"
    " CROSS JOIN LATERAL (SELECT t.typbasetype AS oid WHERE t.typtype = 'd'"
    "  UNION ALL SELECT t.typelem WHERE t.typelem <> 0::oid"
    "  UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute AS a"
    "   WHERE a.attrelid = t.typrelid AND t.typrelid <> 0::oid AND a.attnum > 0 AND NOT a.attisdropped) AS inner_type"
    ") "
    "SELECT a.attname::text AS name, a.attgenerated = 'v' AS is_virtual,"
    " t.oid IN (114, 3802) AS is_json,"
    " t.oid IN (114, 199) OR t.typtype IN ('c', 'd') OR t.typcategory = 'A' AND t.oid >= 16384::oid AS is_fragile,"
    " t.oid IN (17, 25, 1042, 1043) AS may_be_long,"
    " (SELECT pg_catalog.format('%s of role %s'::text, c.castfunc::pg_catalog.regprocedure, r.rolname)"
    "  FROM part JOIN pg_catalog.pg_type AS o ON o.oid = part.type AND o.typtype <> 'c'"
    "  JOIN pg_catalog.pg_cast AS c ON c.castsource = part.type AND c.casttarget = 114"
    "  JOIN pg_catalog.pg_proc AS p ON p.oid = c.castfunc JOIN pg_catalog.pg_roles AS r ON r.oid = p.proowner"
    "  WHERE part.attnum = a.attnum AND NOT r.rolsuper AND r.rolname <> current_user LIMIT 1) AS cast_function "
    "FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid "
    "WHERE a.attrelid = CAST(:relid AS oid) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)


@dataclass(frozen=True)
class LiveTable:
    """What the catalog says of an audited table, and how its rows are read."""

    audited: AuditedTable
    schema: str
    relid: int
    is_partitioned: bool
    #: The columns that are compared; the rows of the catalog about them.
    columns: tuple[Any, ...]
    #: The columns of which a function of somebody else stands in the way, by name.
    left_out: dict[str, str]

    @classmethod
    def find(cls, connection: Connection, scope: Scope, wanted: Table) -> LiveTable:
        """Look a table up.

        :raises HistoryError: if it is not there, or cannot be read as a whole.
        """
        audited = AuditedTable(scope, wanted, None)
        name = wanted.fullname
        schema = wanted.schema or str(connection.scalar(schema_of(scope, wanted)))
        found = connection.execute(_RELATION, {"schema": schema, "name": audited.table.name}).first()
        if found is None:
            raise HistoryError(f"Table {name!r} is not in schema {schema!r} of the database. Run the migrations.")
        if not found.is_readable:
            raise HistoryError(f"Role {found.reader!r} may not read table {name!r}. Grant it SELECT.")
        if found.row_security_active:
            raise HistoryError(
                f"Row level security hides rows of table {name!r} from role {found.reader!r}, so that nobody could "
                "tell what is missing. Verify as a role with BYPASSRLS."
            )
        columns = connection.execute(_COLUMNS, {"relid": found.oid}).all()
        recorded = [each for each in columns if audited.records(each.name) and not each.is_virtual]
        return cls(
            audited,
            schema,
            found.oid,
            found.relkind == "p",
            tuple(each for each in recorded if each.cast_function is None),
            {each.name: each.cast_function for each in recorded if each.cast_function is not None},
        )

    @property
    def name(self) -> str:
        """The quoted name of the table."""
        return qualified(self.audited.table.name, self.schema)

    def refuse_later_truncate(self, connection: Connection) -> None:
        """Refuse a table of which a TRUNCATE took rows that the snapshot should see.

        :raises HistoryError: if there was one.
        """
        if connection.scalar(_IS_REWRITTEN, {"relid": self.relid}):
            raise HistoryError(
                f"Table {self.audited.table.fullname!r} was truncated or rewritten since the transaction of the "
                "connection began. Call verify() in a new one."
            )

    def rows(self) -> Subquery:
        """Select the key and the recorded form of each row."""
        names = {each.name for each in self.columns}
        missing = [each.name for each in self.audited.key_columns if each.name not in names]
        if missing:
            raise HistoryError(
                f"Column {missing[0]!r} of the primary key of table {self.audited.table.fullname!r} cannot be read "
                "from the database. Run the migrations."
            )
        relation = table(self.audited.table.name, *map(column, names), schema=self.schema)
        marker = _unlike("left out", names)
        chosen: list[ColumnElement[Any]] = []
        broken: list[ColumnElement[Any]] = []
        for each in self.columns:
            value: ColumnElement[Any] = relation.c[each.name]
            if (is_broken := _is_broken(value, each)) is not None:
                broken.append(case((is_broken, exact_text(each.name))))
                value = case((is_broken, null()), else_=value)
            chosen.append(value.label(each.name))
        if broken:
            chosen.append(_array(broken).label(marker))
        query = select(*chosen)
        if not self.is_partitioned:
            # Tables that inherit from it are recorded under their own names.
            query = query.with_hint(relation, "ONLY", "postgresql")
        entry = query.subquery(_unlike("entry", {*names, marker}))
        data: ColumnElement[Any] = pg.to_jsonb(entry.table_valued(), type_=JSONB())
        if broken:
            data = operate(operate(data, "-", entry.c[marker], JSONB()), "-", exact_text(marker), JSONB())
        # The offset keeps the conversion from being computed twice.
        converted = select(data.label("data")).offset(0).subquery()
        return select(self.audited.key_in(converted.c.data).label("key"), converted.c.data).subquery()

    def count(self) -> Select[Any]:
        """Select the number of rows."""
        query = select(func.count())
        relation = table(self.audited.table.name, schema=self.schema)
        return (
            query.select_from(relation)
            if self.is_partitioned
            else query.select_from(relation).with_hint(relation, "ONLY", "postgresql")
        )


def _is_broken(value: ColumnElement[Any], kind: Any) -> ColumnElement[bool] | None:
    """Return whether a value may be one that jsonb cannot hold; None if no value of the column can be."""
    if kind.may_be_long:
        return operate(pg.octet_length(value), ">", literal(_LONG, Integer()))
    if kind.is_fragile:
        # As its text, which takes none of the casts that the application may have made.
        written = pg.format(exact_text("%s"), value, type_=ExactText())
        is_long = operate(pg.octet_length(written), ">", literal(_LONG, Integer()))
        return or_(operate(written, "~", exact_text(_UNSTORABLE)), is_long)
    return None


def _array(values: list[ColumnElement[Any]]) -> ColumnElement[Any]:
    made: ColumnElement[Any] = postgresql.array(values, type_=Text())
    return made


def _unlike(name: str, others: Container[str]) -> str:
    """Return a name that is none of some others."""
    while name in others:
        name += "_"
    return name
