"""Recomputes the seals, and finds what is not as it was sealed.

Seal by seal: memory holds the rows of one, and what it reads is one snapshot. A seal without fault proves all of its
rows; what tells a seal from a forged one is a digest that was kept where the owner of the database cannot reach.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Connection

from ..connections import Target, connection_of, unwrapped
from ..errors import HistoryError
from ..lifecycle.owner import statement
from ..settings import recorded_settings
from .canonical import (
    Content,
    Seal,
    commit,
    content_of_activity,
    content_of_transaction,
    leaf_hash,
    merkle_root,
    salt_of,
)
from .finding import SealFinding
from .rewriting import History
from .stored import Kept, Leaves, read_kept, read_leaves, read_rows, read_seals

if TYPE_CHECKING:
    from ..scope import Scope
    from .digests import Digest

#: Reads activities or transactions with these ids from an archive; each once, as texts.
ArchivedRows: TypeAlias = Callable[[str, list[int]], Iterator[Mapping[str, Any]]]

_CONTENT: Mapping[str, Callable[[Mapping[str, Any]], Content]] = {
    "activity": content_of_activity,
    "transaction": content_of_transaction,
}
_SEALS_AT_ONCE = 1000
_LAST_SEALED = "SELECT coalesce(max(s.to_id), -1) FROM {schema}.activity_seal AS s"
_UNSEALED = (
    "SELECT count(*) AS activities, min(a.issued_at) AS since, min(a.id) AS first FROM {schema}.activity AS a"
    " WHERE a.id > CAST(:last AS bigint)"
)
# Below 0 each import has a range of its own.
_UNSEALED_IMPORTS = (
    "SELECT count(*) FROM {schema}.activity AS a WHERE a.id < 0 AND NOT EXISTS ("
    "SELECT FROM {schema}.activity_seal AS s WHERE a.id BETWEEN s.from_id AND s.to_id)"
)
_REFERENCES = (
    "SELECT DISTINCT a.transaction_id FROM {schema}.activity AS a WHERE a.transaction_id = ANY (CAST(:ids AS bigint[]))"
)


def verify_seals(
    scope: Scope,
    target: Target,
    digests: Mapping[int, Digest],
    first: int,
    progress: Callable[[Seal], None] | None,
    archived_rows: ArchivedRows | None,
) -> Iterator[SealFinding]:
    """Yield what does not fit; see :meth:`audit_core.AuditLog.verify_seals`."""
    owner: Any = unwrapped(target)
    is_own = not getattr(owner, "in_transaction", bool)()
    connection = connection_of(target, scope.bind_arguments(), HistoryError)
    try:
        if is_own:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        with recorded_settings(connection):
            yield from _Verification(connection, scope.schema, digests, first, progress, archived_rows).findings()
    finally:
        if is_own:
            owner.rollback()


class _Verification:
    def __init__(
        self,
        connection: Connection,
        schema: str,
        digests: Mapping[int, Digest],
        first: int,
        progress: Callable[[Seal], None] | None,
        archived_rows: ArchivedRows | None,
    ) -> None:
        self._connection = connection
        self._schema = schema
        self._digests = digests
        self._first = first
        self._progress = progress
        self._archived_rows = archived_rows
        self._history = History.read(connection, schema)
        self._removed = 0

    def findings(self) -> Iterator[SealFinding]:
        previous: Seal | None = None
        if self._first > 1:
            found = read_seals(self._connection, self._schema, self._first - 1, self._first - 1)
            previous = found[0] if found else None
        number = self._first
        while seals := read_seals(self._connection, self._schema, number, number + _SEALS_AT_ONCE - 1) or None:
            for each in seals:
                yield from self._chain(previous, each)
                yield from self._rows_of(each)
                if self._progress is not None:
                    self._progress(each)
                previous = each
            number = max(number + _SEALS_AT_ONCE, seals[-1].number + 1)
        yield from self._end(previous)

    def _chain(self, previous: Seal | None, seal: Seal) -> Iterator[SealFinding]:
        wanted = 1 if previous is None else previous.number + 1
        if seal.number != wanted:
            yield _of_seal("seal missing", wanted, f"Seal {wanted} is missing: the next one is {seal.number}.")
        elif seal.previous_hash != (None if previous is None else previous.hash):
            yield _of_seal(
                "seal altered",
                seal.number,
                f"Seal {seal.number} does not follow seal {wanted - 1}: one of them was altered.",
            )
        if seal.computed_hash() != seal.hash:
            yield _of_seal("seal altered", seal.number, f"Seal {seal.number} does not have the hash of what it says.")
        digest = self._digests.get(seal.number)
        if digest is not None and digest.hash != seal.hash:
            yield _of_seal(
                "seal altered",
                seal.number,
                f"Seal {seal.number} is another one than that of the digest of {digest.sealed_at}.",
            )

    def _rows_of(self, seal: Seal) -> Iterator[SealFinding]:
        leaves = read_leaves(self._connection, self._schema, seal.number)
        if leaves is None:
            yield from self._without_leaves(seal)
            return
        count = len(leaves.activity_ids) + len(leaves.transaction_ids)
        counts = (len(leaves.activity_ids), len(leaves.transaction_ids))
        if counts != (seal.activity_count, seal.transaction_count) or len(leaves.hashes) != count:
            yield _of_seal("seal altered", seal.number, f"Seal {seal.number} has other hashes than when it was made.")
            return
        if merkle_root(leaves.hashes) != seal.root:
            yield _of_seal(
                "seal altered",
                seal.number,
                f"Seal {seal.number} does not have the root of its hashes: one of them was altered, and what is said "
                f"of single rows between activities {seal.from_id} and {seal.to_id} may be wrong.",
            )
        seeds = leaves.seeds.of_leaves(count)
        split = seal.activity_count
        yield from self._compare(
            seal,
            leaves,
            "activity",
            (seal.from_id, seal.to_id),
            leaves.activity_ids,
            leaves.hashes[:split],
            seeds[:split],
        )
        yield from self._compare(
            seal,
            leaves,
            "transaction",
            (seal.from_transaction_id, seal.to_transaction_id),
            leaves.transaction_ids,
            leaves.hashes[split:],
            seeds[split:],
        )

    def _compare(
        self,
        seal: Seal,
        leaves: Leaves,
        of_table: str,
        bounds: tuple[int, int],
        ids: Any,
        hashes: Any,
        seeds: Any,
    ) -> Iterator[SealFinding]:
        rows = read_rows(self._connection, self._schema, of_table, *bounds)
        kept = read_kept(self._connection, self._schema, of_table, *bounds)
        left = dict(zip(ids, zip(hashes, seeds, strict=True), strict=True))
        for row in rows:
            sealed = left.pop(row["id"], None)
            if sealed is None:
                yield _of_row("added", seal, of_table, row["id"], "was added to what is sealed")
                continue
            yield from self._row(seal, of_table, row, sealed, kept.get(row["id"], {}))
        if left and self._archived_rows is not None:
            for row in self._archived_rows(of_table, list(left)):
                yield from self._row(seal, of_table, row, left.pop(row["id"]), kept.get(row["id"], {}))
        if of_table == "activity":
            yield from self._missing_activities(seal, leaves, list(left))
        elif left:
            yield from self._missing_transactions(seal, list(left))

    def _row(
        self,
        seal: Seal,
        of_table: str,
        row: Mapping[str, Any],
        sealed: tuple[bytes, bytes | None],
        kept: Mapping[str, Kept],
    ) -> Iterator[SealFinding]:
        wanted, seed = sealed
        content = _CONTENT[of_table](row)
        possible = self._history.as_sealed(content, seal.seen_id) if of_table == "activity" else iter((content,))
        if not any(hash_of(each, seed, kept) == wanted for each in possible):
            yield _of_row("altered", seal, of_table, row["id"], "is not as it was sealed")
            return
        gone = {name: each for name, each in kept.items() if each.commitment is not None}
        for name, each in gone.items():
            by = self._history.by_id.get(each.maintenance_id or -1)
            if by is None:
                yield _of_row(
                    "altered", seal, of_table, row["id"], f"has no {name} any more, and nothing says who erased it"
                )
            elif by.operation == "erase" and (content.fields.get(name, "null") != "null"):
                yield _of_row("altered", seal, of_table, row["id"], f"has a {name} again, which was erased")
            elif by.operation == "alter_audited_column":
                yield _of_row("rewritten", seal, of_table, row["id"], f"had another {name} before activity {by.id}")
            else:
                what = f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
                yield _of_row("erased", seal, of_table, row["id"], f"had {what}, erased as activity {by.id} says")

    def _missing_activities(self, seal: Seal, leaves: Leaves, ids: list[int]) -> Iterator[SealFinding]:
        by_partition: dict[int, int] = {}
        for each in ids:
            partition = self._history.removed_partition(each)
            if partition is not None:
                by_partition[partition.by] = by_partition.get(partition.by, 0) + 1
            elif each in leaves.removed_ids:
                self._removed += 1
            else:
                yield _of_row("missing", seal, "activity", each, "is missing")
        for by, count in by_partition.items():
            yield _of_seal(
                "removed",
                seal.number,
                f"Of seal {seal.number}, {count} activities were removed, as activity {by} says.",
            )

    def _missing_transactions(self, seal: Seal, ids: list[int]) -> Iterator[SealFinding]:
        """Yield those of which activities are there: others go when retention removes their activities."""
        query = statement(_REFERENCES, schema=self._schema)
        needed = set(self._connection.scalars(query, {"ids": ids}))
        can_be_gone = bool(self._history.partitions or self._history.removed)
        for each in ids:
            if each in needed or not can_be_gone:
                yield _of_row("missing", seal, "transaction", each, "is missing")

    def _without_leaves(self, seal: Seal) -> Iterator[SealFinding]:
        first, last = (self._history.removed_partition(each) for each in (seal.from_id, seal.to_id))
        is_empty = not read_rows(self._connection, self._schema, "activity", seal.from_id, seal.to_id)
        if first is not None and last is not None and is_empty:
            yield _of_seal(
                "removed",
                seal.number,
                f"Seal {seal.number} was removed by retention, as activity {last.by} says; its root is kept.",
            )
        else:
            yield _of_seal("seal altered", seal.number, f"Seal {seal.number} has lost the hashes of its rows.")

    def _end(self, last: Seal | None) -> Iterator[SealFinding]:
        newest = max(self._digests, default=0)
        if newest > (0 if last is None else last.number):
            yield _of_seal(
                "seal missing",
                newest,
                f"There is a digest of seal {newest}, and the newest seal is {0 if last is None else last.number}: "
                "the end was cut off, or an older state of the database was restored.",
            )
        if self._first <= 1 and self._removed > self._history.removed:
            yield SealFinding(
                "missing",
                None,
                "activity",
                None,
                f"Of single tables {self._removed} sealed activities were removed, and retention says "
                f"{self._history.removed}.",
            )
        last_id = self._connection.scalar(statement(_LAST_SEALED, schema=self._schema))
        found = self._connection.execute(statement(_UNSEALED, schema=self._schema), {"last": last_id}).one()
        if found.activities:
            age = dt.datetime.now(dt.timezone.utc) - found.since
            yield SealFinding(
                "unsealed",
                None,
                None,
                found.first,
                f"{_are(found.activities, 'activity')} not sealed yet, from {found.first} on; the oldest is "
                f"{_duration(age)} old.",
            )
        imported = self._connection.scalar(statement(_UNSEALED_IMPORTS, schema=self._schema))
        if imported:
            yield SealFinding("unsealed", None, None, None, f"{_are(imported, 'imported activity')} not sealed yet.")


def _are(count: int, name: str) -> str:
    return f"1 {name} is" if count == 1 else f"{count} {name.removesuffix('y')}ies are"


def hash_of(content: Content, seed: bytes | None, kept: Mapping[str, Kept]) -> bytes | None:
    """Return the hash of a row, with what stands for the values that are gone; None if something cannot be told."""
    commitments = {name: each.commitment for name, each in kept.items() if each.commitment is not None}
    for name, value in content.fields.items():
        if name in commitments:
            continue
        salt = None if seed is None else salt_of(seed, name)
        if name in kept:
            salt = kept[name].salt
        if salt is None:
            return None
        commitments[name] = commit(salt, value)
    return leaf_hash(content.head, commitments)


def _of_seal(kind: Any, number: int, message: str) -> SealFinding:
    return SealFinding(kind, number, None, None, message)


def _of_row(kind: Any, seal: Seal, of_table: str, id_: int, what: str) -> SealFinding:
    return SealFinding(kind, seal.number, of_table, id_, f"{of_table.capitalize()} {id_} {what} (seal {seal.number}).")


def _duration(age: dt.timedelta) -> str:
    seconds = int(age.total_seconds())
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"
