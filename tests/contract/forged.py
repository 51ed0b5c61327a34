"""What somebody may have had written into a trail before it was refused."""

from __future__ import annotations

from sqlalchemy import Connection, text

#: JSON that is not an object, or an object with anything under the keys that we know.
META = [
    "[1]",
    "null",
    '"text"',
    "5",
    "true",
    "[]",
    '{"undoes": [1], "restores": 5, "request_id": {"a": 1}, "reason": [null], "traceparent": 1, "path": true}',
    '{"undoes": {"activities": "x"}, "method": null, "endpoint": {"a": []}, "command": 1e400}',
    # More than Python reads.
    '{"n": ' + "9" * 5000 + "}",
    '{"deep": ' + "[" * 5000 + "]" * 5000 + "}",
    "[" * 400 + "]" * 400,
]


def forge(connection: Connection, meta: str, filter_: str, table_name: str, row_key: str | None) -> int:
    """Write a transaction with a read into the trail, as only its owner can, and return its id."""
    id_: int | None = connection.scalar(
        text(
            "INSERT INTO transaction (native_transaction_id, issued_at, meta)"
            " VALUES (1, now(), CAST(:meta AS jsonb)) RETURNING id"
        ),
        {"meta": meta},
    )
    assert id_ is not None
    connection.execute(
        text(
            "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,"
            " row_key, old_data, changed_data)"
            " VALUES (:id, now(), 1, 0, 'public', :name, 'read', :key, '{}', CAST(:filter AS jsonb))"
        ),
        {"id": id_, "name": table_name, "key": row_key, "filter": filter_},
    )
    return id_
