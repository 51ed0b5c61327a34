"""``log --follow`` prints each activity once, as soon as it is committed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import BigInteger, Connection, Text, cast, func, select, text
from sqlalchemy.orm import Session

from tests.cli.conftest import ROOT, Shop
from tests.cli.shop import Customer, Line, Order


class Following:
    """A running ``log --follow``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def next(self) -> Any:
        """Wait for the next activity that it prints."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def keys(self, number: int) -> list[str]:
        return [self.next()["row_key"] for _ in range(number)]


@contextmanager
def following(shop: Shop, *options: str) -> Iterator[Following]:
    process = subprocess.Popen(
        [sys.executable, "-m", "audit_core.cli", *shop.given, "log", "-f", "--interval", "0.05", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    # What is missed would be waited for without end.
    guard = threading.Timer(30, process.kill)
    guard.start()
    try:
        yield Following(process)
    finally:
        guard.cancel()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert (rest, errors) == ("", "")
    assert process.returncode == 130


def test_it_begins_with_the_newest_oldest_first_and_goes_on(own_shop: Shop) -> None:
    for key in (1, 2, 3):
        own_shop.write(Customer(id=key, name="x"))
    with following(own_shop, "--limit", "2") as shown:
        assert shown.keys(2) == ["2", "3"]
        own_shop.write(Customer(id=4, name="x"), Customer(id=5, name="x"))
        assert shown.keys(2) == ["4", "5"]
        own_shop.change(Customer, 4, name="y")
        assert shown.next()["changes"] == {"name": {"old": "x", "new": "y"}}


def test_a_transaction_that_commits_later_with_smaller_ids_is_not_missed(own_shop: Shop) -> None:
    """Both are in progress when it begins; the ids of the one that commits last are the smaller ones."""
    with Session(own_shop.engine) as first, Session(own_shop.engine) as second:
        first.add(Customer(id=1, name="first"))
        first.flush()
        second.add(Customer(id=2, name="second"))
        second.flush()
        own_shop.write(Customer(id=3, name="before"))
        with following(own_shop) as shown:
            assert shown.keys(1) == ["3"]
            second.commit()
            assert shown.keys(1) == ["2"]
            own_shop.write(Customer(id=4, name="between"))
            assert shown.keys(1) == ["4"]
            first.commit()
            late = shown.next()
            assert late["row_key"] == "1"
            own_shop.write(Customer(id=5, name="after"))
            last = shown.next()
            assert last["row_key"] == "5"
            # Had the position been an id, this one would be behind it.
            assert late["id"] < last["id"] - 3
            first.add(Customer(id=6, name="again"))
            first.commit()
            assert shown.keys(1) == ["6"]


def test_what_is_rolled_back_is_never_shown(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="x"))
    with following(own_shop) as shown, Session(own_shop.engine) as session:
        assert shown.keys(1) == ["1"]
        session.add(Customer(id=2, name="x"))
        session.flush()
        session.rollback()
        own_shop.write(Customer(id=3, name="x"))
        assert shown.keys(1) == ["3"]


def test_it_shows_what_the_filters_choose(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="x"))
    with following(own_shop, "--table", "lines", "--actor", "ben") as shown:
        own_shop.write(Order(id=1, customer_id=1, total=1), Line(order_id=1, code="a", article="x"))
        own_shop.write(Line(order_id=1, code="b", article="x"), actor="ben")
        assert shown.keys(1) == ['[1, "b"]']


def test_between_two_looks_no_transaction_is_open(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="x"))
    others = text(
        "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND application_name = 'follower'"
    )
    shop = Shop(own_shop.url.update_query_dict({"application_name": "follower"}), own_shop.engine)
    with following(shop, "--interval", "5") as shown:
        assert shown.keys(1) == ["1"]
        with own_shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            deadline = time.monotonic() + 4
            while connection.scalars(others).all() != ["idle"]:
                assert time.monotonic() < deadline


def test_a_trail_from_another_cluster_is_shown_once(own_shop: Shop) -> None:
    """Its transactions have numbers that this one has yet to reach, and some that are in progress here."""
    own_shop.write(Customer(id=1, name="x"))
    with own_shop.engine.connect() as other, own_shop.engine.begin() as connection:
        in_progress = other.scalar(select(cast(cast(func.pg_current_xact_id(), Text), BigInteger)))
        assert in_progress is not None
        for number, native in enumerate([1, in_progress, in_progress + 20, in_progress + 10**9], 2):
            restore(connection, number, native)
        with following(own_shop) as shown:
            assert shown.keys(1) == ["1"]
            connection.commit()
            # In this look they are visible; after it, they would be so again and again.
            own_shop.write(Customer(id=10, name="x"))
            assert shown.keys(1) == ["10"]
            own_shop.write(Customer(id=11, name="x"))
            assert shown.keys(1) == ["11"]
        with following(own_shop) as shown:
            assert shown.keys(7) == ["1", "2", "3", "4", "5", "10", "11"]
            other.rollback()
            # This one reaches the numbers.
            for number in range(12, 40):
                own_shop.write(Customer(id=number, name="x"))
            assert shown.keys(28) == [str(number) for number in range(12, 40)]


def restore(connection: Connection, number: int, native_transaction_id: int) -> None:
    """Write an activity as pg_restore does."""
    transaction_id = connection.scalar(
        text(
            "INSERT INTO transaction (native_transaction_id, issued_at) VALUES (:native, now()) RETURNING id",
        ),
        {"native": native_transaction_id},
    )
    connection.execute(
        text(
            "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,"
            " row_key, old_data, changed_data)"
            " VALUES (:id, now(), :native, 0, 'public', 'customers', 'insert', :key, '{}', '{}')"
        ),
        {"id": transaction_id, "native": native_transaction_id, "key": str(number)},
    )


def test_without_json_the_heading_stands_once(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="x"))
    command = [sys.executable, "-m", "audit_core.cli", *own_shop.given, "log", "-f", "--interval", "0.05"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    assert "changes" in process.stdout.readline()
    assert "name: x" in process.stdout.readline()
    own_shop.write(Customer(id=2, name="yy"))
    assert "name: yy" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
