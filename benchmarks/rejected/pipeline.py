"""A statement of its own instead of a pipeline, where the server is near.

On a loopback address a round trip takes less time than psycopg's pipeline takes to compute, so that a plain
statement would be faster there. But nobody can tell a server on this machine from a proxy or a tunnel to one far
away, and behind those one round trip more costs ten times of what is gained here.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import psycopg

from dev.postgres import throwaway_server

ROUNDS = 12
TIMES = 100

INSERT = "INSERT INTO articles (title, body) VALUES (%s, %s) RETURNING id"
CONTEXT = "SELECT set_config('audit_logger.actor_id', %s, true), set_config('audit_logger.meta', %s, true)"


def unaudited(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.execute(INSERT, ("title", "body")).fetchall()
    connection.commit()


def pipeline(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    with connection.pipeline():
        connection.execute(CONTEXT, ("7", '{"path": "/articles"}'))
        cursor = connection.execute(INSERT, ("title", "body"))
    cursor.fetchall()
    connection.commit()


def statement(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    connection.execute(CONTEXT, ("7", '{"path": "/articles"}'))
    connection.execute(INSERT, ("title", "body")).fetchall()
    connection.commit()


def main() -> None:
    """Print the median time of a transaction of one INSERT."""
    ways: list[Callable[[psycopg.Connection[tuple[object, ...]]], None]] = [unaudited, pipeline, statement]
    seconds: dict[str, list[float]] = {way.__name__: [] for way in ways}
    with throwaway_server() as server, psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE articles (id serial PRIMARY KEY, title text, body text)")
        connection.commit()
        for _ in range(ROUNDS):
            for way in ways:
                for _ in range(TIMES):
                    start = time.perf_counter()
                    way(connection)
                    seconds[way.__name__].append(time.perf_counter() - start)
    for name, times in seconds.items():
        print(f"{name:10} {statistics.median(times) * 1e6:5.0f} us")


if __name__ == "__main__":
    main()
