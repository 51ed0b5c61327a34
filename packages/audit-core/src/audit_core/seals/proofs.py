"""Proofs that one activity, with its transaction, is in what was sealed: to be verified without the database."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from ..connections import Target, connection_of
from ..errors import HistoryError
from ..lifecycle.owner import statement
from ..settings import recorded_settings
from .canonical import (
    FORMAT,
    Content,
    Seal,
    commit,
    content_of_activity,
    content_of_transaction,
    inclusion_path,
    leaf_hash,
    root_of_path,
    salt_of,
)
from .rewriting import History
from .stored import read_kept, read_leaves, read_rows, read_seals
from .verifying import hash_of

if TYPE_CHECKING:
    from ..scope import Scope
    from .digests import Digest

_FIND = "SELECT s.number FROM {schema}.activity_seal AS s WHERE CAST(:id AS bigint) BETWEEN s.from_id AND s.to_id"
_FIND_TRANSACTION = (
    "SELECT s.number FROM {schema}.activity_seal AS s"
    " WHERE CAST(:id AS bigint) BETWEEN s.from_transaction_id AND s.to_transaction_id"
)
# Up to the first one that was anchored: whoever has its digest has all before it.
_ANCHORED = (
    "SELECT coalesce((SELECT min(l.number) FROM {schema}.activity_seal_leaf AS l"
    " WHERE l.anchored_at IS NOT NULL AND l.number >= CAST(:number AS bigint)),"
    " (SELECT max(s.number) FROM {schema}.activity_seal AS s))"
)
_BYTES = ("root", "previous_hash", "hash")


def prove(scope: Scope, target: Target, activity_id: int) -> dict[str, Any]:
    """Return the proof of an activity; see :meth:`audit_core.AuditLog.prove`."""
    connection = connection_of(target, scope.bind_arguments(), HistoryError)
    with recorded_settings(connection):
        schema = scope.schema
        history = History.read(connection, schema)
        activity, number = _proof_of_row(connection, schema, history, "activity", activity_id)
        transaction_id = int(activity["head"][2])
        transaction, other = _proof_of_row(connection, schema, history, "transaction", transaction_id)
        first = min(number, other)
        last = connection.scalar(statement(_ANCHORED, schema=schema), {"number": max(number, other)})
        seals = [_written(each) for each in read_seals(connection, schema, first, last)]
        return {"format": FORMAT, "activity": activity, "transaction": transaction, "seals": seals}


def _proof_of_row(
    connection: Connection, schema: str, history: History, of_table: str, id_: int
) -> tuple[dict[str, Any], int]:
    query = _FIND if of_table == "activity" else _FIND_TRANSACTION
    number = connection.scalar(statement(query, schema=schema), {"id": id_})
    if number is None:
        raise HistoryError(f"{of_table.capitalize()} {id_} is not sealed yet, or there is none. Seal first.")
    rows = read_rows(connection, schema, of_table, id_, id_)
    leaves = read_leaves(connection, schema, number)
    (seal,) = read_seals(connection, schema, number, number)
    if not rows or leaves is None:
        raise HistoryError(f"{of_table.capitalize()} {id_} was removed; what is left of it is seal {number}.")
    ids = leaves.activity_ids if of_table == "activity" else leaves.transaction_ids
    if id_ not in ids:
        raise HistoryError(f"{of_table.capitalize()} {id_} was added to seal {number}: there is no proof of it.")
    place = ids.index(id_) + (0 if of_table == "activity" else seal.activity_count)
    seed = leaves.seeds.of_leaf(place)
    kept = read_kept(connection, schema, of_table, id_, id_).get(id_, {})
    content = (content_of_activity if of_table == "activity" else content_of_transaction)(rows[0])
    possible = history.as_sealed(content, seal.seen_id) if of_table == "activity" else iter((content,))
    for each in possible:
        if hash_of(each, seed, kept) == leaves.hashes[place]:
            fields = dict(_fields(each, seed, kept))
            path = [[side, sibling.hex()] for side, sibling in inclusion_path(leaves.hashes, place)]
            return {"head": list(each.head), "fields": fields, "seal": number, "path": path}, number
    raise HistoryError(f"{of_table.capitalize()} {id_} is not as it was sealed: there is no proof of it.")


def _fields(content: Content, seed: bytes | None, kept: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    for name, each in kept.items():
        if each.commitment is not None:
            yield name, {"commitment": each.commitment.hex()}
    for name, value in content.fields.items():
        if name in kept and kept[name].commitment is not None:
            continue
        salt = kept[name].salt if name in kept else None if seed is None else salt_of(seed, name)
        assert salt is not None
        yield name, {"value": value, "salt": salt.hex()}


def _written(seal: Seal) -> dict[str, Any]:
    said = asdict(seal)
    return said | {name: None if said[name] is None else said[name].hex() for name in _BYTES}


@dataclass(frozen=True)
class Proven:
    """What a proof shows."""

    #: What was recorded of the activity and of its transaction, as texts.
    activity: Mapping[str, str]
    transaction: Mapping[str, str]
    #: The seals that the activity is in, and those whose digests vouch for it.
    seal: int
    digests: tuple[int, ...]


def verify_proof(proof: Mapping[str, Any], digests: Mapping[int, Digest]) -> Proven:
    """Verify a proof by digests that were kept elsewhere.

    :raises HistoryError: if it proves nothing; it says what does not fit.
    """
    try:
        return _verified(proof, digests)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, HistoryError):
            raise
        raise HistoryError(f"This is not a proof: {error!r}.") from None


def _verified(proof: Mapping[str, Any], digests: Mapping[int, Digest]) -> Proven:
    if proof["format"] != FORMAT:
        raise HistoryError(f"The proof has format {proof['format']!r}, and this audit-core knows {FORMAT}.")
    seals = [Seal(**{**each, **{name: _bytes(each[name]) for name in _BYTES}}) for each in proof["seals"]]
    for before, seal in zip([None, *seals], seals, strict=False):
        if seal.computed_hash() != seal.hash:
            raise HistoryError(f"Seal {seal.number} does not have the hash of what it says.")
        if before is not None and (seal.previous_hash, seal.number) != (before.hash, before.number + 1):
            raise HistoryError(f"Seal {seal.number} does not follow seal {before.number}.")
    by_number = {each.number: each for each in seals}
    for name in ("activity", "transaction"):
        row = proof[name]
        commitments = {
            field: bytes.fromhex(each["commitment"])
            if "commitment" in each
            else commit(bytes.fromhex(each["salt"]), each["value"])
            for field, each in row["fields"].items()
        }
        leaf = leaf_hash(row["head"], commitments)
        root = root_of_path(leaf, [(side, bytes.fromhex(sibling)) for side, sibling in row["path"]])
        if row["head"][0] != name or root != by_number[row["seal"]].root:
            raise HistoryError(f"The {name} is not in seal {row['seal']}.")
    if proof["activity"]["head"][2] != proof["transaction"]["head"][1]:
        raise HistoryError("The transaction is not that of the activity.")
    for number in by_number.keys() & digests.keys():
        if digests[number].hash != by_number[number].hash:
            raise HistoryError(f"Seal {number} is another one than that of its digest: the proof was forged.")
    last = max(proof["activity"]["seal"], proof["transaction"]["seal"])
    vouching = tuple(sorted(number for number in by_number.keys() & digests.keys() if number >= last))
    if not vouching:
        raise HistoryError(
            f"There is no digest of a seal from {last} to {seals[-1].number}, so that anybody could have made this."
        )
    activity, transaction = (
        {field: each.get("value", "(erased)") for field, each in proof[name]["fields"].items()}
        for name in ("activity", "transaction")
    )
    return Proven(activity, transaction, proof["activity"]["seal"], vouching)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def read_proof(text: str) -> Mapping[str, Any]:
    """Read a proof as it was written.

    :raises HistoryError: if it is not JSON.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise HistoryError(f"This is not a proof: {error}.") from None
    if not isinstance(found, dict):
        raise HistoryError("This is not a proof: it is not a JSON object.")
    return found
