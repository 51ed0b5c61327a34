"""Each view answers JSON to programs: the same filters, the same access."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import insert, text

from tests.page.app import Article, audit_logger, db
from tests.page.test_page import TABLE

JSON = {"Accept": "application/json"}


def asked(client: FlaskClient, view: str, **arguments: Any) -> Any:
    response = client.get(f"/audit/{view}", query_string=arguments or None, headers=JSON)
    assert response.status_code == 200, response.text
    assert response.mimetype == "application/json"
    return response.json


@pytest.mark.parametrize("view", ["", "actor?id=1", f"record?table={TABLE}&key=one", "coverage", "transaction/1"])
def test_the_accepted_type_decides_and_the_address_does_too(client: FlaskClient, view: str) -> None:
    path, _, query = view.partition("?")
    by_header = asked(client, view)
    assert client.get(f"/audit/{path or 'log'}.json?{query}").json == by_header
    assert client.get(f"/audit/{view}").mimetype == "text/html"
    assert client.get(f"/audit/{view}", headers={"Accept": "text/html,*/*;q=0.8"}).mimetype == "text/html"
    assert client.get(f"/audit/{view}").headers["Vary"].startswith("Accept")


def test_the_log(client: FlaskClient) -> None:
    newest, changed, made = asked(client, "")["entries"]
    assert newest["actor_id"] is None
    assert (made["actor_id"], made["actor"], made["client_addr"]) == (1, "Ann", "192.0.2.7")
    assert changed["what"] == "changed title, details and price of article one, " + changed["activities"][0]["record"]
    assert changed["counts"] == [{"schema": "public", "table": TABLE, "verb": "update", "count": 1}]
    assert changed["is_counted"] is True


def test_numbers_keep_their_digits(client: FlaskClient) -> None:
    assert "12345678901234567890.10" in client.get("/audit/log.json").text


def test_the_same_filters(client: FlaskClient) -> None:
    found = asked(client, "", actor="2")
    assert found["filters"] == {"actor": "2"}
    assert [each["transaction_id"] for each in found["entries"]] == [2]


def test_pages_follow_by_the_cursor(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        for number in range(65):
            db.session.add(Article(key=str(number)))
            db.session.commit()
    seen, link = [], "/audit/log.json"
    while link:
        page: Any = client.get(link).json
        seen += [each["transaction_id"] for each in page["entries"]]
        link = page["next"]
    assert seen == list(range(68, 0, -1))


def test_a_record_and_its_state(client: FlaskClient) -> None:
    record = asked(client, "record", table=TABLE, key="one")
    assert [each["verb"] for each in record["activities"]] == ["update", "insert"]
    when = record["activities"][1]["issued_at"]
    state = asked(client, "record/as-of", table=TABLE, key="one", when=when)
    assert state["row"]["price"] == "1.10"
    assert any("masked" in note for note in state["notes"])


def test_a_transaction_and_what_an_undo_would_do(client: FlaskClient) -> None:
    assert asked(client, "transaction/1")["meta"]["request_id"] == "req-1"
    assert asked(client, "transaction/1/undo")["undo_limit"] == 1000


def test_the_same_access(app: Flask, client: FlaskClient) -> None:
    app.config["MAY"]["undo"] = False
    assert client.get("/audit/transaction/1/undo.json").status_code == 403
    app.config["MAY"]["read"] = False
    for view in ("", "log.json", "transaction/1.json", f"record.json?table={TABLE}&key=one"):
        response = client.get(f"/audit/{view}", headers=JSON)
        assert (response.status_code, response.json) == (403, {"error": "You may not see this page."})


def test_an_error_is_json_too(client: FlaskClient) -> None:
    response = client.get("/audit/transaction/99.json")
    assert (response.status_code, response.json) == (404, {"error": "There is no transaction 99 in the trail."})


def test_what_another_trail_recorded(app: Flask, client: FlaskClient) -> None:
    row = {"issued_at": "2020-01-01T12:00:00Z", "table": TABLE, "actor_id": 1, "transaction_id": "a"}
    rows = [
        {**row, "verb": "insert", "changed_data": {"key": "one", "title": "First", "price": "1.00"}},
        {**row, "verb": "update", "old_data": {"key": "one", "title": "First"}, "changed_data": {"title": "Second"}},
    ]
    with app.app_context():
        audit_logger.import_rows(db.engine, rows, source="elsewhere")
    *_, newest, oldest = asked(client, "record", table=TABLE, key="one")["activities"]
    assert (newest["id"], oldest["id"]) == (-1, -2)
    assert asked(client, "transaction/-1")["activities"][0]["id"] == -2
    shown = client.get("/audit/transaction/-1").text
    assert "Ann" in shown
    assert "elsewhere" in shown
    assert "First" in client.get("/audit/?until=2020-01-02T00:00").text
    assert client.get("/audit/transaction/-1/undo").status_code == 200


def test_a_time_finds_what_was_imported_in_another_order(app: Flask, client: FlaskClient) -> None:
    with app.app_context():
        for year in (2022, 2024, 2020):
            row = {"table": TABLE, "verb": "insert", "changed_data": {"key": str(year)}, "transaction_id": str(year)}
            audit_logger.import_rows(db.engine, [{**row, "issued_at": f"{year}-01-01T12:00:00Z"}], source=str(year))

    def years(**bounds: str) -> set[str]:
        seen = set()
        for entry in asked(client, "", verb="insert", **bounds)["entries"]:
            seen |= {each["row_key"] for each in entry["activities"]}
        return seen & {"2020", "2022", "2024"}

    assert years(since="2023-01-01T00:00") == {"2024"}
    assert years(until="2023-01-01T00:00") == {"2020", "2022"}
    assert years(since="2021-01-01T00:00", until="2023-01-01T00:00") == {"2022"}
    assert years(until="2021-01-01T00:00") == {"2020"}
    assert years(until="2025-01-01T00:00") == {"2020", "2022", "2024"}


@pytest.mark.parametrize("filters", ["", "verb=insert", "text=long"])
@pytest.mark.parametrize("size", [1, 600])
def test_a_transaction_is_on_one_page_whatever_others_did_meanwhile(
    app: Flask, client: FlaskClient, filters: str, size: int
) -> None:
    with app.app_context(), db.engine.connect() as long, db.engine.connect() as other:
        for part in range(3):
            rows = [{"key": f"l{part}.{row}", "title": "long"} for row in range(size if part == 0 else 1)]
            long.execute(insert(Article), rows)
            # More than a page of transactions, and more ids than are looked at together.
            for short in range(40):
                rows = [{"key": f"s{part}.{short}.{row}", "title": "long"} for row in range(20)]
                other.execute(insert(Article), rows)
                other.commit()
        long.execute(insert(Article).values(key="last", title="long"))
        long.commit()
    number = newest_of(client, "last")
    seen, texts = pages(client, filters)
    assert len(seen) == len(set(seen))
    assert set(range(max(seen) - 120, max(seen) + 1)) <= {*seen}
    assert sum(text.count(f'<a href="/audit/transaction/{number}">Transaction') for text in texts) == 1


@pytest.mark.parametrize("filters", ["", "verb=insert", "text=long"])
@pytest.mark.parametrize("size", [300, 700])
def test_a_transaction_is_on_one_page_however_it_lies_on_disk(
    app: Flask, client: FlaskClient, filters: str, size: int
) -> None:
    with app.app_context(), db.engine.connect() as long, db.engine.connect() as other:
        long.execute(insert(Article), [{"key": f"l{row}", "title": "long"} for row in range(size)])
        # More than two pages of them.
        for short in range(70):
            other.execute(insert(Article), [{"key": f"s{short}.{row}", "title": "long"} for row in range(20)])
            other.commit()
        long.execute(insert(Article).values(key="last", title="long"))
        long.commit()
    number = newest_of(client, "last")
    with app.app_context(), db.engine.begin() as connection:
        for statement in (
            "SET LOCAL audit_logger.maintenance = 'on'",
            f"CREATE TEMP TABLE moved AS SELECT * FROM activity WHERE transaction_id = {number}",
            f"DELETE FROM activity WHERE transaction_id = {number}",
            "INSERT INTO activity SELECT * FROM moved ORDER BY id DESC",
        ):
            connection.execute(text(statement))
    seen, texts = pages(client, filters)
    assert seen[0] == number
    assert len(seen) == len(set(seen)) > 70
    assert sum(each.count(f'<a href="/audit/transaction/{number}">Transaction') for each in texts) == 1
    # The links of the page lead the same way.
    newest, oldest = client.get(f"/audit/?{filters}").text, texts[-1]
    link = newest.rpartition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert ("listed" in link) is (size > 500)
    assert number not in {each["transaction_id"] for each in asked(client, link.removeprefix("/audit/"))["entries"]}
    assert "listed" not in oldest.rpartition('aria-label="Pages"')[2]


def test_what_a_link_says_was_listed_is_numbers(client: FlaskClient) -> None:
    response = client.get("/audit/log.json?listed=1,x")
    assert (response.status_code, response.json["error"][:15]) == (400, "listed is 'x', ")  # type: ignore[index]


def newest_of(client: FlaskClient, key: str) -> int:
    found: int = asked(client, "record", table=TABLE, key=key)["activities"][0]["transaction_id"]
    return found


def pages(client: FlaskClient, filters: str) -> tuple[list[int], list[str]]:
    """Follow the pages, and return the transactions of all and what each shows."""
    seen, texts, link = [], [], f"/audit/log.json?{filters}"
    while link:
        page: Any = client.get(link).json
        seen += [each["transaction_id"] for each in page["entries"]]
        texts.append(client.get(link.replace("/audit/log.json", "/audit/")).text)
        link = page["next"]
    return seen, texts
