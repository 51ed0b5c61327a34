"""What the trail itself says was done to what it had recorded: rewritten, erased, or removed by retention.

It says so in activities ``maintenance``, which are sealed like others. What was sealed before is compared with the
names that it had then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from sqlalchemy import Connection

from ..lifecycle.owner import statement
from .canonical import Content

# Each name of a table leads to the next one in the index, and there to what is of no row: the trail is not read.
_MAINTENANCE = (
    "WITH RECURSIVE names(name) AS ("
    "(SELECT a.table_name FROM {schema}.activity AS a ORDER BY a.table_name LIMIT 1) UNION ALL "
    "SELECT (SELECT a.table_name FROM {schema}.activity AS a WHERE a.table_name > n.name ORDER BY a.table_name LIMIT 1)"
    " FROM names AS n WHERE n.name IS NOT NULL) "
    "SELECT m.id, m.schema, m.said FROM names AS n CROSS JOIN LATERAL ("
    "SELECT a.id, a.schema, CAST(a.changed_data AS text) AS said FROM {schema}.activity AS a"
    " WHERE a.table_name = n.name AND a.row_key IS NULL AND a.verb = 'maintenance' AND a.id >= 0) AS m ORDER BY m.id"
)
_SCHEMA, _TABLE = 6, 7
_VERB = 8
_DEPTH = 10
#: So many deltas at most stand one on the other.
_DEEPEST = 64
_OF_ROWS = ("insert", "update", "delete", "snapshot")


@dataclass(frozen=True)
class Maintenance:
    """One activity ``maintenance``."""

    id: int
    schema: str
    operation: str
    said: Mapping[str, Any]

    @property
    def arguments(self) -> list[Any]:
        """Those of an operation of a migration; the first is the name that the table had then."""
        found = self.said.get("arguments")
        return found if isinstance(found, list) else []


@dataclass(frozen=True)
class Partition:
    """A range of ids that was removed as a whole, but for what was held."""

    from_id: int
    end_id: int
    held: int
    by: int


@dataclass
class History:
    """What was done to the trail."""

    by_id: dict[int, Maintenance] = field(default_factory=dict)
    partitions: list[Partition] = field(default_factory=list)
    #: How many sealed activities retention of single tables removed.
    removed: int = 0

    @classmethod
    def read(cls, connection: Connection, schema: str) -> History:
        """Read it out of the trail."""
        found = cls()
        for row in connection.execute(statement(_MAINTENANCE, schema=schema)):
            said = json.loads(row.said)
            if not isinstance(said, dict):
                continue
            each = Maintenance(row.id, row.schema, str(said.get("operation")), said)
            found.by_id[each.id] = each
            if said.get("partition") and isinstance(said.get("end_id"), int) and each.operation != "split":
                first = said.get("from_id")
                found.partitions.append(
                    Partition(-(2**63) if first is None else first, said["end_id"], said.get("held") or 0, each.id)
                )
            found.removed += said.get("sealed") or 0
        return found

    def removed_partition(self, activity_id: int) -> Partition | None:
        """Return with which partition an activity went, if it did."""
        return next((each for each in self.partitions if each.from_id <= activity_id < each.end_id), None)

    def as_sealed(self, content: Content, seen_id: int) -> Iterator[Content]:
        """Yield what an activity may have been when it was sealed: with the names of then, and without what was added.

        Whether a column was added to this activity is not recorded, so there are two possibilities for each.
        """
        yield from self._renamed_back(content, seen_id)
        # Before activities go, those that rest on them are completed: they were deltas.
        if (self.partitions or self.removed) and content.head[_VERB] == "update" and content.head[_DEPTH] is None:
            changed = {name.partition(".")[2] for name in content.fields if name.startswith("changed_data.")}
            fields = {
                name: value
                for name, value in content.fields.items()
                if not name.startswith("old_data.") or name.partition(".")[2] in changed
            }
            for depth in range(1, _DEEPEST + 1):
                delta = Content((*content.head[:_DEPTH], depth), fields)
                yield from self._renamed_back(delta, seen_id)

    def _renamed_back(self, content: Content, seen_id: int) -> Iterator[Content]:
        later = [
            each
            for number, each in self.by_id.items()
            if number > seen_id and each.operation in _REVERSED and each.schema == content.head[_SCHEMA]
        ]
        if not later or content.head[_VERB] not in _OF_ROWS:
            yield content
            return
        choices = [(True, False) if each.operation == "add_audited_column" else (True,) for each in later]
        for chosen in product(*choices):
            found = content
            for is_undone, each in reversed(list(zip(chosen, later, strict=True))):
                if is_undone:
                    found = _REVERSED[each.operation](found, each.arguments)
            yield found


def _table_renamed(content: Content, arguments: list[Any]) -> Content:
    old, new = arguments
    if content.head[_TABLE] != new:
        return content
    return replace(content, head=(*content.head[:_TABLE], old, *content.head[_TABLE + 1 :]))


def _column_renamed(content: Content, arguments: list[Any]) -> Content:
    table, old, new = arguments
    if content.head[_TABLE] != table:
        return content
    return replace(content, fields={_renamed(name, new, old): value for name, value in content.fields.items()})


def _renamed(field_name: str, new: str, old: str) -> str:
    data, _, name = field_name.partition(".")
    return f"{data}.{old}" if name == new else field_name


def _column_added(content: Content, arguments: list[Any]) -> Content:
    table, column, default = arguments
    if content.head[_TABLE] != table:
        return content
    # A whole row is where the operation adds to.
    data = "old_data" if content.head[_VERB] in ("update", "delete") else "changed_data"
    name = f"{data}.{column}"
    if name not in content.fields or json.loads(content.fields[name]) != default:
        return content
    return replace(content, fields={each: value for each, value in content.fields.items() if each != name})


_REVERSED = {
    "rename_audited_table": _table_renamed,
    "rename_audited_column": _column_renamed,
    "add_audited_column": _column_added,
}
