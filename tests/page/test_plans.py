"""What the views cost on a long trail."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import URL, event, text

from tests.page.app import Article, audit_logger, create_app, db
from tests.page.conftest import dispose, fill

TABLE = Article.__tablename__
SIZE = 1_000_000
#: No view looks at more rows, however long the trail is.
MOST = 60_000
#: One transaction adds so many rows.
IMPORTED = 100_000
PARTITIONS = 84
#: So often the key of a record was changed.
FLIPPED = 3_700
#: A table of so many rows may be read as a whole.
SMALL = 200

# One change a transaction, over 60 days. Actor 7 and the table "gone" have the oldest only.
GROW = [
    "INSERT INTO transaction (native_transaction_id, issued_at, actor_id, meta) "
    "SELECT n, now() - (:size - n) * interval '60 days' / :size, CASE WHEN n < 50 THEN 7 ELSE n % 5 END, "
    "jsonb_build_object('request_id', 'r' || n) FROM generate_series(1, :size) AS n",
    "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb, row_key, "
    "old_data, changed_data) SELECT t.id, t.issued_at, t.native_transaction_id, 0, 'public', "
    "CASE WHEN t.actor_id = 7 THEN 'gone' ELSE :table END, 'update', 'k' || t.id % 20000, "
    """'{"key": "k", "title": "old"}', '{"title": "new"}' """
    "FROM transaction AS t WHERE t.meta ->> 'request_id' LIKE 'r%' AND t.meta ->> 'request_id' NOT LIKE 'req%' "
    "ORDER BY t.issued_at",
]

VIEWS = {
    "log": "",
    "second page": "?after=100000",
    "actor": "actor?id=3",
    "actor of all times": "?actor=3",
    "actor of long ago": "actor?id=7",
    "nobody": "?nobody=1",
    "table of long ago": "?table=gone",
    "verb that never was": "?verb=truncate",
    "column": "?column=nothing",
    "request": "?request_id=r5",
    "address": "?client_addr=192.0.2.0/24",
    "since": "?since=2020-01-01T00:00&verb=delete",
    "transaction": "transaction/100",
    "filter by transaction": "?transaction=100",
    "record": "record?table=odd+%22name%22/%C3%A4&key=k77",
    "column of a record": "record?table=odd+%22name%22/%C3%A4&key=k77&column=title",
    "record as it was": "record/as-of?table=odd+%22name%22/%C3%A4&key=k77&when={now}",
    "undo": "transaction/100/undo",
}


# Another transaction meets it in the middle.
IMPORT = [
    "INSERT INTO transaction (native_transaction_id, issued_at, actor_id) VALUES (0, now(), 4), (0, now(), 9)",
    "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb, row_key, "
    "old_data, changed_data) SELECT (SELECT max(id) FROM transaction) - (n <> :size / 2)::int, now(), 0, 0, "
    """'public', :table, 'insert', 'i' || n, '{}', '{"title": "imported"}' FROM generate_series(1, :size) AS n""",
]


#: Somebody who was there all the time.
REGULAR = 8
#: Transactions of the regular in each partition, so that there are about as many as are few.
EACH = 12
WORK = [
    "INSERT INTO transaction (native_transaction_id, issued_at, actor_id) "
    "SELECT 0, now(), :actor FROM generate_series(1, :each)",
    "INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb, row_key, "
    "old_data, changed_data) SELECT t.id, now(), 0, 0, 'public', :table, 'update', 'w' || t.id, '{}', "
    """'{"title": "new"}' FROM (SELECT id FROM transaction ORDER BY id DESC LIMIT :each) AS t ORDER BY t.id""",
]


@pytest.fixture(scope="module")
def long_trail(module_database: URL) -> Iterator[Flask]:
    app = create_app(module_database)
    fill(app)
    grow(app, SIZE)
    yield app
    dispose(app)


@pytest.fixture(scope="module")
def old_trail(server: URL, new_database: Callable[..., AbstractContextManager[URL]]) -> Iterator[Flask]:
    """Many partitions, and an import in the last."""
    with new_database() as url:
        app = create_app(url)
        fill(app)
        with app.app_context():
            for _ in range(PARTITIONS - 1):
                with db.engine.begin() as connection:
                    for statement in WORK:
                        connection.execute(text(statement), {"actor": REGULAR, "each": EACH, "table": TABLE})
                    connection.execute(text(f"""UPDATE "{quoted()}" SET title = 'a' || random() WHERE key = 'one'"""))
                    connection.execute(text(f'INSERT INTO "{quoted()}" (key) SELECT gen_random_uuid()'))
                audit_logger.split(db.engine, at_once=True)
            with db.engine.begin() as connection:
                for statement in IMPORT:
                    connection.execute(text(statement), {"size": IMPORTED, "table": TABLE})
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE activity, transaction"))
        yield app
        dispose(app)


def quoted() -> str:
    return TABLE.replace('"', '""')


def grow(app: Flask, size: int) -> None:
    with app.app_context():
        with db.engine.begin() as connection:
            for statement in GROW:
                connection.execute(text(statement), {"size": size, "table": TABLE})
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE activity, transaction"))


@pytest.mark.parametrize("view", VIEWS)
def test_views_go_along_an_index_and_look_at_a_part_only(long_trail: Flask, view: str) -> None:
    assert_bounded(long_trail, VIEWS[view])


@pytest.mark.parametrize("view", VIEWS)
def test_views_are_bounded_with_many_partitions_and_an_import(old_trail: Flask, view: str) -> None:
    assert_bounded(old_trail, VIEWS[view].replace("k77", "one"))


@pytest.mark.parametrize(("trail", "key"), [("long_trail", "k77"), ("old_trail", "one")])
def test_two_states_are_found_by_the_key(request: pytest.FixtureRequest, trail: str, key: str) -> None:
    app: Flask = request.getfixturevalue(trail)
    record: Any = app.test_client().get("/audit/record.json", query_string={"table": TABLE, "key": key}).json
    newest, *_, oldest = record["activities"]
    for chosen in (newest["id"], "now"):
        assert_bounded(app, f"record/compare?table=odd+%22name%22/%C3%A4&key={key}&a={oldest['id']}&b={chosen}")


@pytest.mark.parametrize("view", ["transaction/{id}", "transaction/{id}/undo", "?transaction={id}", "?text=imported"])
def test_a_large_transaction_is_looked_at_in_part(old_trail: Flask, view: str) -> None:
    assert_bounded(old_trail, view.format(id=imported(old_trail)))


@pytest.fixture(scope="module")
def flipped_trail(server: URL, new_database: Callable[..., AbstractContextManager[URL]]) -> Iterator[Flask]:
    """Records whose key was changed to and fro: one in a transaction each time, one in a single transaction."""
    with new_database() as url:
        app = create_app(url)
        fill(app)
        flip = text(f'UPDATE "{quoted()}" SET key = :new WHERE key = :old')
        with app.app_context():
            with db.engine.connect() as connection:
                for number in range(FLIPPED):
                    keys = ("one", "two") if number % 2 == 0 else ("two", "one")
                    connection.execute(flip, {"old": keys[0], "new": keys[1]})
                    connection.commit()
                connection.execute(text(f'INSERT INTO "{quoted()}" (key) VALUES (:key)'), {"key": "three"})
                connection.commit()
                for number in range(FLIPPED):
                    keys = ("three", "four") if number % 2 == 0 else ("four", "three")
                    connection.execute(flip, {"old": keys[0], "new": keys[1]})
                connection.commit()
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(text("VACUUM ANALYZE activity, transaction"))
        yield app
        dispose(app)


@pytest.mark.parametrize(
    "view",
    [
        "",
        "record/as-of?table=odd+%22name%22/%C3%A4&key=one&when={now}",
        "transaction/{last}",
        "transaction/{last}/undo",
        "transaction/100/undo",
    ],
)
def test_a_key_that_was_changed_to_and_fro_is_looked_at_in_part(flipped_trail: Flask, view: str) -> None:
    with flipped_trail.app_context():
        last = db.session.scalar(text("SELECT max(id) FROM transaction"))
    assert_bounded(flipped_trail, view.replace("{last}", str(last)))


@pytest.mark.parametrize("key", ["one", "three"])
def test_the_history_of_a_key_that_was_changed_to_and_fro_is_found(flipped_trail: Flask, key: str) -> None:
    """Every change of the key is followed, which takes time; but none asks for those of all the others."""
    with flipped_trail.app_context():
        db.session.execute(text("SET LOCAL statement_timeout = '100s'"))
        query = audit_logger.history(Article, key).limit(50).with_only_columns(audit_logger.activity_cls.id)
        found = list(db.session.scalars(query))
        ids = sorted(db.session.scalars(text("SELECT id FROM activity WHERE old_row_key IS NOT NULL")))
    assert len(found) == 50
    own = ids[:FLIPPED] if key == "one" else ids[FLIPPED:]
    assert found == own[: -len(found) - 1 : -1]


def imported(app: Flask) -> int:
    with app.app_context():
        found = db.session.scalar(text("SELECT id FROM transaction WHERE actor_id = 4 ORDER BY id DESC LIMIT 1"))
    assert isinstance(found, int)
    return found


def test_an_import_is_one_entry_and_what_happened_meanwhile_is_found(old_trail: Flask) -> None:
    client, number = old_trail.test_client(), imported(old_trail)
    shown = client.get("/audit/log.json").json
    assert [each["transaction_id"] for each in shown["entries"]] == [number]
    assert shown["entries"][0]["what"].startswith("added at least 10,000 ")
    older = client.get(shown["next"]).json
    assert older["entries"][0]["transaction_id"] == number - 1
    link, found = shown["meanwhile"], []
    while link and number + 1 not in found:
        page = client.get(link).json
        found += [each["transaction_id"] for each in page["entries"]]
        link = page["meanwhile"]
    assert found == [number + 1]


def test_the_first_change_of_a_large_transaction_may_lie_last(old_trail: Flask) -> None:
    number = imported(old_trail)
    path = f"/audit/transaction/{number}.json"

    def first() -> int:
        shown = old_trail.test_client().get(path).json
        found = shown["activities"][0]["id"]
        assert isinstance(found, int)
        return found

    before = first()
    with old_trail.app_context(), db.engine.begin() as connection:
        for statement in (
            "SET LOCAL audit_logger.maintenance = 'on'",
            f"CREATE TEMP TABLE moved AS SELECT * FROM activity WHERE transaction_id = {number}"
            f" AND id < {before} + 15000",
            "DELETE FROM activity WHERE id IN (SELECT id FROM moved)",
            "INSERT INTO activity SELECT * FROM moved ORDER BY id DESC",
        ):
            connection.execute(text(statement))
    assert first() == before


def assert_bounded(app: Flask, view: str) -> None:
    now = dt.datetime.now(dt.timezone.utc).replace(tzinfo=None).isoformat()
    plans = explained(app, f"/audit/{view.format(now=now)}")
    nodes = [node for plan in plans for node in within(plan)]
    assert any(node["Node Type"].startswith("Index") for node in nodes)
    scans = [node for node in nodes if node.get("Relation Name", "").startswith(("activity", "transaction"))]
    assert [node for node in scans if node["Node Type"] == "Seq Scan" and looked_at(node) > SMALL] == []
    assert sum(looked_at(node) for node in scans) < MOST


@pytest.mark.parametrize("asked", ["actor?id=7", "?actor=7", "?table=gone", "?table=gone&verb=update"])
def test_few_changes_are_found_at_once_however_old(long_trail: Flask, asked: str) -> None:
    shown = long_trail.test_client().get(f"/audit/{asked}").text
    assert "gone k49" in shown
    assert "Search further back" not in shown


@pytest.mark.parametrize(
    ("view", "times"),
    [
        ("", 4),
        ("?verb=delete", 1),
        ("transaction/100", 2),
        ("record?table=odd+%22name%22/%C3%A4&key=one", 9),
        ("record/compare?table=odd+%22name%22/%C3%A4&key=one&a=1&b=now", 12),
    ],
)
def test_a_view_looks_at_all_partitions_a_few_times_only(old_trail: Flask, view: str, times: int) -> None:
    nodes = [node for plan in explained(old_trail, f"/audit/{view}") for node in within(plan)]
    scans = [node for node in nodes if node.get("Relation Name", "").startswith("activity")]
    # What is planned for costs as well, be it looked at or not.
    assert sum(max(node["Actual Loops"], 1) for node in scans) < times * PARTITIONS


@pytest.mark.parametrize("view", ["actor?id=8", "?actor=8", "actor?id=8&after=600", "?actor=8&column=title"])
def test_what_an_actor_did_all_the_time_is_not_looked_for_in_each_partition(old_trail: Flask, view: str) -> None:
    nodes = [node for plan in explained(old_trail, f"/audit/{view}") for node in within(plan)]
    scans = [node for node in nodes if node.get("Relation Name", "").startswith("activity")]
    # One look at each transaction in each partition would be 84,000.
    assert EACH * PARTITIONS < sum(node["Actual Loops"] for node in scans) < 15 * EACH * PARTITIONS


def test_what_was_found_of_an_actor_is_not_looked_for_again(old_trail: Flask) -> None:
    def looks(view: str) -> int:
        nodes = [node for plan in explained(old_trail, f"/audit/{view}") for node in within(plan)]
        return sum(node["Actual Loops"] for node in nodes if node.get("Relation Name", "").startswith("activity"))

    # What a column held is not known of what was found.
    assert looks("?actor=8") + EACH * (PARTITIONS - 1) <= looks("?actor=8&column=title")


def test_each_page_of_what_an_actor_did_all_the_time_is_found(old_trail: Flask) -> None:
    client, found = old_trail.test_client(), []
    page: Any = client.get(f"/audit/actor.json?id={REGULAR}").json
    assert page["summary"]["counts"][0]["count"] == EACH * (PARTITIONS - 1)
    assert page["summary"]["is_counted"] is True
    while True:
        found += [each["transaction_id"] for each in page["entries"]]
        if page["next"] is None:
            break
        page = client.get(page["next"]).json
    assert len(found) == len(set(found)) == EACH * (PARTITIONS - 1)
    assert found == sorted(found, reverse=True)


def test_a_search_goes_on_to_the_oldest_change(long_trail: Flask) -> None:
    client = long_trail.test_client()
    shown, after = client.get("/audit/?request_id=r5").text, 0
    assert "gone k" not in shown
    while "gone k" not in shown:
        assert "Search further back" in shown
        after = int(shown.rpartition("after=")[2].partition('"')[0])
        shown = client.get(f"/audit/?request_id=r5&after={after}").text
    assert after < SIZE / 4


def explained(app: Flask, path: str) -> list[dict[str, Any]]:
    """Explain, where it is executed, each query that a view sends."""
    plans: list[dict[str, Any]] = []

    def explain(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith(("SELECT", "WITH")):
            found = cursor.connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchone()[0]
            plans.append((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", explain)
    try:
        response = app.test_client().get(path)
    finally:
        event.remove(engine, "before_cursor_execute", explain)
    assert response.status_code == 200
    return plans


def within(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", []):
        yield from within(each)


def looked_at(node: dict[str, Any]) -> float:
    rows: float = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    return rows * float(node["Actual Loops"])
