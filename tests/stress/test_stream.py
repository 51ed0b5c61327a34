"""Under writers of all kinds, and the death of consumer and server, a stream misses nothing and repeats nothing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from audit_core import audit_context
from sqlalchemy import URL, Connection, Engine, create_engine, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError

from dev.postgres import ThrowawayServer, throwaway_server
from tests.conftest import VERSION
from tests.stress.app import Account, Activity, Entry, Transaction, audit_log, install

WRITERS, SECONDS = 8, 8.0
ROOT = Path(__file__).parents[2]


@pytest.fixture
def mortal() -> Iterator[ThrowawayServer]:
    with throwaway_server(VERSION, in_memory=True) as server:
        yield server


@pytest.fixture
def database(mortal: ThrowawayServer) -> URL:
    return make_url(mortal.url).set(drivername="postgresql+psycopg")


class Consumer:
    """A program that reads a stream, and comes back when it was killed."""

    def __init__(self, url: URL, kind: str, folder: Path) -> None:
        self.path = folder / kind
        self._command = [
            sys.executable,
            "-m",
            "tests.stress.consumer",
            url.render_as_string(hide_password=False),
            kind,
            str(self.path),
        ]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ask_to_end(self) -> None:
        self.path.with_suffix(".stop").touch()

    def finish(self) -> None:
        try:
            assert self.process.wait(60) == 0
        finally:
            self.process.kill()


def write(engine: Engine, number: int, stop: threading.Event) -> None:
    """Change rows in transactions that are short or long, and that are rolled back now and then."""
    chance = random.Random(number)
    while not stop.is_set():
        try:
            with audit_context(actor_id=f"writer {number}"), engine.connect() as connection:
                transact(connection, chance, number)
        except DBAPIError:
            time.sleep(0.05)


def transact(connection: Connection, chance: random.Random, number: int) -> None:
    for _ in range(chance.randint(1, 5)):
        key = chance.randrange(10**9)
        connection.execute(insert(Account).values(id=key, marker=f"{number}"))
        with connection.begin_nested() as savepoint:
            connection.execute(insert(Entry).values(account_id=key, number=1, marker="x"))
            if chance.random() < 0.3:
                savepoint.rollback()
        if chance.random() < 0.05:
            time.sleep(chance.uniform(0.2, 1.0))
    # All of them change the same row.
    connection.execute(update(Account).where(Account.id == number % 2).values(marker=f"{number} {chance.random()}"))
    if chance.random() < 0.2:
        connection.rollback()
    else:
        connection.commit()


def test_nothing_is_missing_and_nothing_comes_twice_once_it_was_acknowledged(
    mortal: ThrowawayServer, database: URL, tmp_path: Path
) -> None:
    install(database)
    engine = create_engine(database, pool_size=WRITERS)
    audit_log.attach(engine)
    with engine.begin() as connection:
        connection.execute(insert(Account).values([{"id": id_, "marker": "first"} for id_ in (0, 1)]))
        connection.execute(text("CREATE TABLE copied (id bigint PRIMARY KEY, actor text)"))
    in_file, in_table = (Consumer(database, kind, tmp_path) for kind in ("file", "table"))
    stop = threading.Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, engine, number, stop) for number in range(WRITERS)]
        try:
            pause = SECONDS / 5
            for victim in (in_file, in_table, mortal, in_file, in_table):
                time.sleep(pause)
                victim.kill()
                victim.start()
        finally:
            stop.set()
        for writer in writers:
            writer.result(60)
    for consumer in (in_file, in_table):
        consumer.ask_to_end()
    with engine.begin() as connection:
        # They may be waiting for what is to come.
        connection.execute(update(Account).where(Account.id == 0).values(marker="last"))
    for consumer in (in_file, in_table):
        consumer.finish()
    with engine.connect() as connection:
        committed = connection.execute(
            select(Activity.id, Transaction.actor_id)
            .join(Transaction, Transaction.id == Activity.transaction_id)
            .order_by(Activity.id)
        ).all()
        copied = connection.execute(text("SELECT id, actor FROM copied ORDER BY id")).all()
        assert audit_log.check(connection) == []
    audit_log.detach(engine)
    engine.dispose()
    assert len(committed) > 100
    assert [tuple(row) for row in copied] == [tuple(row) for row in committed]
    _check_file(in_file.path, [row.id for row in committed])


def _check_file(path: Path, committed: list[int]) -> None:
    acknowledged = position = 0
    got: set[int] = set()
    for line in path.read_text().splitlines():
        word, number = line.split()
        if word == "acknowledged":
            acknowledged = int(number)
            continue
        # In order, but for what comes again because it was not acknowledged.
        assert int(number) > acknowledged
        assert int(number) > position or int(number) in got
        position = int(number)
        got.add(position)
    assert sorted(got) == committed
