"""Fewer or smaller indexes on `activity`.

Each row of `activity` has three index entries, which cost more time than its place in the heap. What could be left
out: the id in the index of a record's history (then a record with many changes is read as a whole for its
newest one), the table in the same index (then records of all tables with the same key are read), the index of
transactions in favour of BRIN (then what was written since the last vacuum is searched), the primary key (then logical
replication cannot publish the table).
"""

from __future__ import annotations

import statistics
import time

import psycopg

from dev.postgres import throwaway_server

ROWS = 50_000
ROUNDS = 5

TABLE = """
CREATE TABLE trail (
    id bigserial, transaction_id bigint, issued_at timestamptz, native_transaction_id bigint, relid oid,
    schema text COLLATE "C", table_name text COLLATE "C", verb text COLLATE "C", row_key text COLLATE "C",
    old_data jsonb, changed_data jsonb
) PARTITION BY RANGE (issued_at);
CREATE TABLE trail_default PARTITION OF trail DEFAULT;
"""
SOURCE = """
CREATE TABLE source AS
SELECT id, to_jsonb(row.*) AS data
FROM (SELECT i AS id, 'name ' || i AS name, 'user' || i || '@example.com' AS email, 'city ' || i % 100 AS city,
             'street ' || i AS street, 'a note of some length ' || i AS note, i * 1.5 AS amount, now() AS created,
             true AS active, 0 AS views
      FROM generate_series(1, {rows}) AS i) AS row
"""
INSERT = """
INSERT INTO trail (
    transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb, row_key, old_data, changed_data)
SELECT 1, now(), 1, 1, 'public', 'articles', 'insert', id::text, '{}', data FROM source
"""

KEY = "ALTER TABLE trail ADD PRIMARY KEY (id, issued_at); "
HISTORY = "CREATE INDEX ON trail (table_name, row_key, id); "
TRANSACTION = "CREATE INDEX ON trail (transaction_id); "
VARIANTS = {
    "in use": KEY + HISTORY + TRANSACTION,
    "history without the id": KEY + "CREATE INDEX ON trail (table_name, row_key); " + TRANSACTION,
    "history without the table": KEY + "CREATE INDEX ON trail (row_key, id); " + TRANSACTION,
    "history by hash": KEY + "CREATE INDEX ON trail USING hash (row_key); " + TRANSACTION,
    "BRIN for transactions": KEY + HISTORY + "CREATE INDEX ON trail USING brin (transaction_id)",
    "no primary key": HISTORY + "CREATE INDEX ON trail (transaction_id, id)",
    "only a primary key": KEY,
    "none": "",
}


def main() -> None:
    """Print seconds and bytes of index for each row, for each variant."""
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    sizes: dict[str, int] = {}
    with throwaway_server() as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(SOURCE.format(rows=ROWS))
        for _ in range(ROUNDS):
            for name, indexes in VARIANTS.items():
                connection.execute("DROP TABLE IF EXISTS trail")
                connection.execute(TABLE + indexes)
                connection.execute("CHECKPOINT")
                start = time.perf_counter()
                connection.execute(INSERT)
                seconds[name].append(time.perf_counter() - start)
                row = connection.execute("SELECT pg_indexes_size('trail_default')").fetchone()
                assert row is not None
                sizes[name] = row[0] // ROWS
    for name, times in seconds.items():
        print(f"{name:28} {statistics.median(times) / ROWS * 1e6:5.1f} us a row, {sizes[name]:4} bytes of index")


if __name__ == "__main__":
    main()
