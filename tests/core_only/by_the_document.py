"""Verifies seals as docs/proof.md says it, and uses nothing of the library: ``verify(psycopg connection)``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"
ACTIVITIES = f"""
    SELECT id, transaction_id, {MICROSECONDS.format("issued_at")}, native_transaction_id, relid::bigint, schema,
        table_name, verb, masked, delta_depth, row_key, old_row_key, old_data::text, changed_data::text, erased
    FROM activity WHERE id BETWEEN %s AND %s ORDER BY id"""
TRANSACTIONS = f"""
    SELECT id, native_transaction_id, {MICROSECONDS.format("issued_at")}, actor_id::text, host(client_addr), db_user,
        application_name, meta::text
    FROM transaction WHERE id BETWEEN %s AND %s ORDER BY id"""
SEALS = f"""
    SELECT number, {MICROSECONDS.format("sealed_at")}, from_id, to_id, from_transaction_id, to_transaction_id,
        activity_count, transaction_count, seen_id, root, hash, seeds
    FROM activity_seal JOIN activity_seal_leaf USING (number) ORDER BY number"""
COMMITMENTS = "SELECT field, commitment, salt FROM activity_commitment WHERE of_table = %s AND id = %s"
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def h(data: bytes) -> bytes:
    return sha256(data).digest()


def item(value: Any) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    data = value if isinstance(value, bytes) else str(value).encode()
    return len(data).to_bytes(4, "big") + data


def members(text: str) -> Iterator[tuple[str, str]]:
    at = 1
    while text[at] != "}":
        name = STRING.match(text, at)
        assert name
        start = end = name.end() + 2
        depth = 0
        while depth or text[end] not in ",}":
            string = STRING.match(text, end)
            if string:
                end = string.end()
                continue
            depth += (text[end] in "{[") - (text[end] in "}]")
            end += 1
        yield json.loads(name[0]), text[start:end]
        at = end + 2 if text[end] == "," else end


def seed_of(seeds: bytes, place: int) -> bytes | None:
    for at in range(0, len(seeds), 40):
        height, number = (int.from_bytes(seeds[at + skip : at + skip + 4], "big") for skip in (0, 4))
        if place >> height == number:
            seed = seeds[at + 8 : at + 40]
            for bit in reversed(range(height)):
                seed = h(b"\x04" + seed + bytes([place >> bit & 1]))
            return seed
    return None


def leaf(cursor: Any, kind: str, head: list[Any], fields: dict[str, str], seed: bytes | None) -> bytes:
    kept = {name: (there, salt) for name, there, salt in cursor.execute(COMMITMENTS, (kind, head[0])).fetchall()}
    written = {name: there for name, (there, _) in kept.items() if there is not None}
    for name, value in fields.items():
        if name not in written:
            salt = kept[name][1] if name in kept else h(b"\x03" + seed + name.encode())  # type: ignore[operator]
            written[name] = h(b"\x02" + salt + value.encode())
    ordered = sorted((name.encode(), there) for name, there in written.items())
    return h(b"\x00" + b"".join(map(item, [kind, *head])) + b"".join(item(name) + there for name, there in ordered))


def root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    left = 1 << (len(leaves) - 1).bit_length() - 1
    return h(b"\x01" + root(leaves[:left]) + root(leaves[left:]))


def verify(connection: Any) -> int:
    """Return how many seals there are, all of which have the roots and hashes of what is recorded."""
    cursor, previous, count = connection.cursor(), b"", 0
    for *numbers, found_root, found_hash, seeds in cursor.execute(SEALS).fetchall():
        _, _, from_id, to_id, from_transaction, to_transaction, *_ = numbers
        leaves: list[bytes] = []
        for row in cursor.execute(ACTIVITIES, (from_id, to_id)).fetchall():
            head, (row_key, old_row_key, old_data, changed_data, erased) = list(row[:10]), row[10:]
            left = [each for each in head[8] or [] if each not in (erased or [])]
            head[8] = json.dumps(left, ensure_ascii=False) if left else None
            fields = {k: v for k, v in (("row_key", row_key), ("old_row_key", old_row_key)) if v is not None}
            fields |= {f"old_data.{name}": value for name, value in members(old_data)}
            fields |= {f"changed_data.{name}": value for name, value in members(changed_data)}
            leaves.append(leaf(cursor, "activity", head, fields, seed_of(seeds, len(leaves))))
        for row in cursor.execute(TRANSACTIONS, (from_transaction, to_transaction)).fetchall():
            names = ("actor_id", "client_addr", "db_user", "application_name")
            fields = {name: value for name, value in zip(names, row[3:7], strict=True) if value is not None}
            fields |= {f"meta.{name}": value for name, value in members(row[7] or "{}")}
            leaves.append(leaf(cursor, "transaction", list(row[:3]), fields, seed_of(seeds, len(leaves))))
        assert root(leaves) == found_root, numbers
        assert h(b"\x05" + b"".join(map(item, [1, *numbers, found_root, previous]))) == found_hash, numbers
        previous, count = found_hash, count + 1
    return count
