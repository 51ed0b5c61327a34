"""Compressed rows of `activity`.

PostgreSQL compresses rows that are longer than 2 kB. With a lower `toast_tuple_target` it would try from 128 bytes on,
but a recorded row holds each name once, so that there is little to compress.
"""

from __future__ import annotations

import time

import psycopg

from benchmarks.rejected.indexes import INSERT, ROWS, SOURCE, TABLE
from dev.postgres import throwaway_server

LOWER = (
    "ALTER TABLE trail_default SET (toast_tuple_target = 128); "
    "ALTER TABLE trail_default ALTER COLUMN old_data SET STORAGE MAIN; "
    "ALTER TABLE trail_default ALTER COLUMN changed_data SET STORAGE MAIN; "
)
LZ4 = (
    "ALTER TABLE trail_default ALTER COLUMN old_data SET COMPRESSION lz4; "
    "ALTER TABLE trail_default ALTER COLUMN changed_data SET COMPRESSION lz4"
)
VARIANTS = {"in use": "", "pglz from 128 bytes on": LOWER, "lz4 from 128 bytes on": LOWER + LZ4}


def main() -> None:
    """Print seconds and bytes of heap for each row, for each variant."""
    with throwaway_server() as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(SOURCE.format(rows=ROWS))
        for name, settings in VARIANTS.items():
            connection.execute("DROP TABLE IF EXISTS trail")
            try:
                connection.execute(TABLE + settings)
            except psycopg.errors.FeatureNotSupported as error:
                print(f"{name:24} {error.diag.message_primary}")
                continue
            start = time.perf_counter()
            connection.execute(INSERT)
            seconds = time.perf_counter() - start
            row = connection.execute("SELECT pg_table_size('trail_default')").fetchone()
            assert row is not None
            print(f"{name:24} {seconds / ROWS * 1e6:5.1f} us a row, {row[0] // ROWS:4} bytes of heap")


if __name__ == "__main__":
    main()
