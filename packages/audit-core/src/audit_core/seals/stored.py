"""What the database has of seals."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from ..lifecycle.checksum import ACTIVITY, TRANSACTION, selected
from ..lifecycle.owner import statement
from ..quoting import qualified
from ..settings import fixed_search_path
from .canonical import Seal, Seeds

_MICROSECONDS = "CAST(EXTRACT(epoch FROM {0}) * 1000000 AS bigint)"
_SEALS = (
    f"SELECT s.number, {_MICROSECONDS.format('s.sealed_at')} AS sealed_at, s.from_id, s.to_id, s.from_transaction_id,"
    " s.to_transaction_id, s.activity_count, s.transaction_count, s.seen_id, s.root, s.previous_hash, s.hash"
    " FROM {schema}.activity_seal AS s WHERE s.number BETWEEN CAST(:first AS bigint) AND CAST(:last AS bigint)"
    " ORDER BY s.number"
)
_LEAVES = (
    "SELECT l.activity_ids, l.transaction_ids, l.hashes, l.seeds, l.removed_ids"
    " FROM {schema}.activity_seal_leaf AS l WHERE l.number = CAST(:number AS bigint)"
)
_ACTIVITIES = (
    f"SELECT {selected(ACTIVITY)} FROM {{schema}}.activity AS a"
    " WHERE a.id BETWEEN CAST(:first AS bigint) AND CAST(:last AS bigint) ORDER BY a.id"
)
_TRANSACTIONS = (
    f"SELECT {selected(TRANSACTION)} FROM {{schema}}.transaction AS t"
    " WHERE t.id BETWEEN CAST(:first AS bigint) AND CAST(:last AS bigint) ORDER BY t.id"
)
_SEALED_IN = (
    "SELECT s.number, s.sealed_at,"
    " (SELECT min(l.anchored_at) FROM {schema}.activity_seal_leaf AS l WHERE l.number >= s.number)"
    " FROM {schema}.activity_seal AS s"
    " WHERE CAST(:id AS bigint) BETWEEN s.from_transaction_id AND s.to_transaction_id LIMIT 1"
)
_COMMITMENTS = (
    "SELECT c.id, c.field, c.commitment, c.salt, c.maintenance_id FROM {schema}.activity_commitment AS c"
    " WHERE c.of_table = :of_table AND c.id BETWEEN CAST(:first AS bigint) AND CAST(:last AS bigint)"
)


@dataclass(frozen=True)
class SealedIn:
    """The seal that a transaction is in."""

    number: int
    sealed_at: dt.datetime
    #: When its digest, or that of a later seal, was kept elsewhere; None if none was yet.
    anchored_at: dt.datetime | None


@dataclass(frozen=True)
class Leaves:
    """The hashes that a seal is made of: of the activities, then of the transactions, each by their ids."""

    activity_ids: Sequence[int]
    transaction_ids: Sequence[int]
    hashes: Sequence[bytes]
    seeds: Seeds
    #: Activities that retention of their table removed.
    removed_ids: frozenset[int]


@dataclass(frozen=True)
class Kept:
    """What the trail keeps of one field of a sealed row of which something is gone."""

    #: What stands for the value; None if it is there.
    commitment: bytes | None
    #: With which salt a value that is there was committed to; None if it is gone.
    salt: bytes | None
    #: The activity that says what took the value.
    maintenance_id: int | None


def read_seals(connection: Connection, schema: str, first: int, last: int) -> list[Seal]:
    """Return the seals with these numbers, in order."""
    rows = connection.execute(statement(_SEALS, schema=schema), {"first": first, "last": last})
    return [Seal(**{**row._mapping, **_as_bytes(row)}) for row in rows]


def _as_bytes(row: Any) -> dict[str, bytes | None]:
    names = ("root", "previous_hash", "hash")
    return {name: None if row._mapping[name] is None else bytes(row._mapping[name]) for name in names}


def read_leaves(connection: Connection, schema: str, number: int) -> Leaves | None:
    """Return the hashes of a seal; None if they are gone."""
    row = connection.execute(statement(_LEAVES, schema=schema), {"number": number}).one_or_none()
    if row is None:
        return None
    hashes = bytes(row.hashes)
    parts = [hashes[start : start + 32] for start in range(0, len(hashes), 32)]
    seeds = Seeds.read(bytes(row.seeds))
    return Leaves(row.activity_ids, row.transaction_ids, parts, seeds, frozenset(row.removed_ids))


def read_rows(connection: Connection, schema: str, of_table: str, first: int, last: int) -> Sequence[Mapping[str, Any]]:
    """Return activities or transactions by their ids, as texts."""
    query = _ACTIVITIES if of_table == "activity" else _TRANSACTIONS
    rows = connection.execute(statement(query, schema=schema), {"first": first, "last": last})
    return [dict(each._mapping) for each in rows]


def read_kept(
    connection: Connection, schema: str, of_table: str, first: int, last: int
) -> Mapping[int, Mapping[str, Kept]]:
    """Return, by id and field, what is kept of rows of which something is gone."""
    values = {"of_table": of_table, "first": first, "last": last}
    found: dict[int, dict[str, Kept]] = defaultdict(dict)
    for row in connection.execute(statement(_COMMITMENTS, schema=schema), values):
        commitment, salt = (None if each is None else bytes(each) for each in (row.commitment, row.salt))
        found[row.id][row.field] = Kept(commitment, salt, row.maintenance_id)
    return found


def sealed_in(connection: Connection, schema: str, transaction_id: int) -> SealedIn | None:
    """Return the seal that a transaction is in; None if there is none, or the role may not read them."""
    names = [qualified(name, schema) for name in ("activity_seal", "activity_seal_leaf")]
    query = "SELECT bool_and(has_table_privilege(n, 'SELECT')) FROM unnest(CAST(:names AS text[])) AS n"
    with fixed_search_path(connection):
        if not connection.scalar(statement(query), {"names": names}):
            return None
        found = connection.execute(statement(_SEALED_IN, schema=schema), {"id": transaction_id}).one_or_none()
    return None if found is None else SealedIn(*found)


def last_number(connection: Connection, schema: str) -> int:
    """Return the number of the newest seal; 0 if there is none."""
    query = "SELECT coalesce(max(s.number), 0) FROM {schema}.activity_seal AS s"
    return int(connection.scalar(statement(query, schema=schema)))
