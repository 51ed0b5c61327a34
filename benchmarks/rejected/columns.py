"""Smaller columns in `activity`.

Schema, table and verb are texts, which anybody can read and filter without a join. A verb could be one byte, and schema
and table the number of a row elsewhere, with a view or the ORM keeping the names.
"""

from __future__ import annotations

import statistics
import time

import psycopg

from benchmarks.rejected.indexes import HISTORY, INSERT, KEY, ROUNDS, ROWS, SOURCE, TABLE, TRANSACTION
from dev.postgres import throwaway_server

NAMES = 'schema text COLLATE "C", table_name text COLLATE "C", verb text COLLATE "C"'
#: What stands for the three columns, and for their values.
VARIANTS = {
    "in use": (NAMES, "'public', 'articles', 'insert'"),
    "verb in one byte": (NAMES.replace('verb text COLLATE "C"', 'verb "char"'), "'public', 'articles', 'i'"),
    "and schema and table as a number": ('schema "char", table_name int, verb "char"', "'-', 1, 'i'"),
}


def main() -> None:
    """Print seconds and bytes for each row, for each variant."""
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    sizes: dict[str, tuple[int, int]] = {}
    with throwaway_server() as server, psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(SOURCE.format(rows=ROWS))
        for _ in range(ROUNDS):
            for name, (columns, values) in VARIANTS.items():
                connection.execute("DROP TABLE IF EXISTS trail")
                connection.execute(TABLE.replace(NAMES, columns) + KEY + HISTORY + TRANSACTION)
                connection.execute("CHECKPOINT")
                start = time.perf_counter()
                connection.execute(INSERT.replace(VARIANTS["in use"][1], values))
                seconds[name].append(time.perf_counter() - start)
                row = connection.execute(
                    "SELECT pg_table_size('trail_default'), pg_indexes_size('trail_default')"
                ).fetchone()
                assert row is not None
                sizes[name] = (row[0] // ROWS, row[1] // ROWS)
    for name, times in seconds.items():
        heap, index = sizes[name]
        print(
            f"{name:34} {statistics.median(times) / ROWS * 1e6:5.1f} us a row, {heap} bytes of heap, {index} of index"
        )


if __name__ == "__main__":
    main()
