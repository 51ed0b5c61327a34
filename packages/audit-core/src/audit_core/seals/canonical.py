"""The canonical form of what is sealed, and the hashes over it, as docs/proof.md says byte by byte.

The database seals with SQL of its own, and this verifies: what one of them gets wrong, the other one finds. It needs no
database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise, starmap
from typing import Any

#: The version of the form that is written. Seals say theirs, and each version stays readable.
FORMAT = 1

_LEAF, _NODE, _COMMITMENT, _SALT, _SEED, _SEAL = (bytes([number]) for number in range(6))
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_SCALAR = re.compile(r"[^,}]+")

_HEAD_OF_ACTIVITY = (
    "id",
    "transaction_id",
    "issued_at",
    "native_transaction_id",
    "relid",
    "schema",
    "table_name",
    "verb",
    "masked",
    "delta_depth",
)
_HEAD_OF_TRANSACTION = ("id", "native_transaction_id", "issued_at")


def item(value: Any) -> bytes:
    """Write a text, a number or bytes with the length before it; -1 for None."""
    if value is None:
        return b"\xff\xff\xff\xff"
    data = value if isinstance(value, bytes) else str(value).encode()
    return len(data).to_bytes(4, "big") + data


def members(text: str) -> Iterator[tuple[str, str]]:
    """Yield the members of a JSON object as PostgreSQL writes ``jsonb``, the values as they stand there."""
    position = 1
    while text[position] != "}":
        name = _STRING.match(text, position)
        assert name is not None
        start = name.end() + 2
        end = _end_of_value(text, start)
        yield json.loads(name[0]), text[start:end]
        position = end + 2 if text[end] == "," else end


def _end_of_value(text: str, start: int) -> int:
    first = text[start]
    if first in "{[":
        depth = 0
        # Nothing recurses: a value may be nested as deeply as somebody likes.
        for token in _TOKEN.finditer(text, start):
            depth += (token[0] in "{[") - (token[0] in "}]")
            if not depth:
                return token.end()
    pattern = _STRING if first == '"' else _SCALAR
    found = pattern.match(text, start)
    assert found is not None
    return found.end()


@dataclass(frozen=True)
class Content:
    """What a leaf says of a row in the clear, and what it commits to."""

    #: Texts and numbers, in order.
    head: tuple[Any, ...]
    #: The texts of the fields, by their names.
    fields: Mapping[str, str]


def content_of_activity(row: Mapping[str, Any]) -> Content:
    """Return what is sealed of an activity, of whose columns there are the texts; ``issued_at`` in microseconds."""
    fields = {name: row[name] for name in ("row_key", "old_row_key") if row[name] is not None}
    for name in ("old_data", "changed_data"):
        fields |= _members_of(name, row[name])
    head = {name: row[name] for name in _HEAD_OF_ACTIVITY}
    if row["masked"] is not None and row["erased"] is not None:
        # It is masked since it was erased, and was not when it was recorded.
        erased = json.loads(row["erased"])
        masked = [each for each in json.loads(row["masked"]) if each not in erased]
        head["masked"] = json.dumps(masked, ensure_ascii=False) if masked else None
    return Content(("activity", *head.values()), fields)


def content_of_transaction(row: Mapping[str, Any]) -> Content:
    """Return what is sealed of a transaction."""
    names = ("actor_id", "client_addr", "db_user", "application_name")
    fields = {name: row[name] for name in names if row[name] is not None}
    return Content(
        ("transaction", *(row[name] for name in _HEAD_OF_TRANSACTION)), fields | _members_of("meta", row["meta"])
    )


def _members_of(name: str, text: str | None) -> dict[str, str]:
    if text is None:
        return {}
    if not text.startswith("{"):
        return {name: text}
    return {f"{name}.{key}": value for key, value in members(text)}


def salt_of(seed: bytes, field: str) -> bytes:
    """Return the salt of a field; who knows it cannot tell that of another one."""
    return sha256(_SALT + seed + field.encode()).digest()


def commit(salt: bytes, value: str) -> bytes:
    """Return what stands for a value in a leaf."""
    return sha256(_COMMITMENT + salt + value.encode()).digest()


def leaf_hash(head: Sequence[Any], commitments: Mapping[str, bytes]) -> bytes:
    """Return the hash of a row."""
    fields = sorted((name.encode(), commitment) for name, commitment in commitments.items())
    content = b"".join(map(item, head)) + b"".join(item(name) + commitment for name, commitment in fields)
    return sha256(_LEAF + content).digest()


def committed(content: Content, seed: bytes) -> dict[str, bytes]:
    """Return the commitments of a row of which nothing is gone."""
    return {name: commit(salt_of(seed, name), value) for name, value in content.fields.items()}


def _parent(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE + left + right).digest()


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """Return the root of the tree of RFC 6962 over hashes of leaves."""
    nodes = list(leaves)
    while len(nodes) > 1:
        nodes = [*starmap(_parent, _pairs(nodes)), *nodes[len(nodes) & ~1 :]]
    return nodes[0]


def inclusion_path(leaves: Sequence[bytes], place: int) -> list[tuple[str, bytes]]:
    """Return the hashes that lead from a leaf to the root, each with the side on which it stands."""
    nodes, path = list(leaves), []
    while len(nodes) > 1:
        sibling = place ^ 1
        if sibling < len(nodes):
            path.append(("left" if sibling < place else "right", nodes[sibling]))
        nodes = [*starmap(_parent, _pairs(nodes)), *nodes[len(nodes) & ~1 :]]
        place //= 2
    return path


def root_of_path(leaf: bytes, path: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the root to which a path leads."""
    for side, sibling in path:
        leaf = _parent(sibling, leaf) if side == "left" else _parent(leaf, sibling)
    return leaf


def _pairs(nodes: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    return zip(nodes[::2], nodes[1::2], strict=False)


@dataclass(frozen=True)
class Seeds:
    """The seeds of a seal's leaves: nodes of a binary tree, out of each of which those below it follow.

    One of a leaf is forgotten when the nodes above it are replaced by those beside the way down to it.
    """

    #: Height above the leaves, place among the nodes of this height, and the seed.
    nodes: tuple[tuple[int, int, bytes], ...]

    @classmethod
    def read(cls, data: bytes) -> Seeds:
        """Read them as the database stores them: height and place in four bytes each, and 32 bytes."""
        bounds = pairwise(range(0, len(data) + 1, 40))
        parts = (data[start:end] for start, end in bounds)
        return cls(tuple((int.from_bytes(p[:4], "big"), int.from_bytes(p[4:8], "big"), p[8:]) for p in parts))

    def of_leaf(self, place: int) -> bytes | None:
        """Return the seed of one leaf; None if it was forgotten."""
        for height, index, seed in self.nodes:
            if place >> height == index:
                for level in reversed(range(height)):
                    seed = _child(seed, place >> level & 1)
                return seed
        return None

    def of_leaves(self, count: int) -> list[bytes | None]:
        """Return the seeds of all leaves."""
        found: list[bytes | None] = [None] * count
        for height, index, seed in self.nodes:
            level = [seed]
            for below in reversed(range(height)):
                most = ((count - 1) >> below) - (index << (height - below)) + 1
                level = [_child(each, bit) for each in level for bit in (0, 1)][:most]
            start = index << height
            found[start : start + len(level)] = level[: max(0, count - start)]
        return found


def _child(seed: bytes, bit: int) -> bytes:
    return sha256(_SEED + seed + bytes([bit])).digest()


@dataclass(frozen=True)
class Seal:
    """One seal: what it covers, and the hash that stands for it and for all before it."""

    number: int
    #: In microseconds since 1970.
    sealed_at: int
    from_id: int
    to_id: int
    from_transaction_id: int
    to_transaction_id: int
    activity_count: int
    transaction_count: int
    #: The last activity when it was sealed: later ones say what was rewritten since.
    seen_id: int
    root: bytes
    #: That of the seal before; None of the first one.
    previous_hash: bytes | None
    hash: bytes

    def computed_hash(self) -> bytes:
        """Return the hash that it should have."""
        parts = (
            FORMAT,
            self.number,
            self.sealed_at,
            self.from_id,
            self.to_id,
            self.from_transaction_id,
            self.to_transaction_id,
            self.activity_count,
            self.transaction_count,
            self.seen_id,
            self.root,
            self.previous_hash or b"",
        )
        return sha256(_SEAL + b"".join(map(item, parts))).digest()
