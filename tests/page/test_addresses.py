"""The log of an address, or of a network."""

from __future__ import annotations

import pytest
from audit_core import audit_context
from flask import Flask
from flask.testing import FlaskClient

from tests.page.app import Article, db
from tests.page.test_exports import lines
from tests.page.test_json import asked
from tests.page.test_page import body


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"client_addr": "192.0.2.7"}, [1]),
        ({"client_addr": "192.0.2.0/24"}, [4, 1]),
        ({"client_addr": "192.0.2.9/24"}, [4, 1]),
        ({"client_addr": "2001:db8::/32"}, [5]),
        ({"client_addr": "198.51.100.1"}, []),
        ({"client_addr": "192.0.2.0/24", "actor": "1"}, [1]),
        ({"client_addr": "192.0.2.0/24", "transaction": "4"}, [4]),
    ],
)
def test_what_came_from_an_address(app: Flask, client: FlaskClient, filters: dict[str, str], found: list[int]) -> None:
    with app.app_context():
        for address in ("192.0.2.200", "2001:db8::7"):
            with audit_context(client_addr=address):
                db.session.add(Article(key=address))
                db.session.commit()
    assert [each["transaction_id"] for each in asked(client, "", **filters)["entries"]] == found
    assert [each["transaction_id"] for each in lines(client, **filters)] == found[::-1]


@pytest.mark.parametrize("address", ["here", "192.0.2", "192.0.2.7/33", "::1%eth0/"])
def test_what_is_no_address_is_said_beside_the_form(client: FlaskClient, address: str) -> None:
    assert "write an address as 192.0.2.7" in body(client, "", 400, client_addr=address)
    assert client.get("/audit/export.csv", query_string={"client_addr": address}).status_code == 400


def test_an_address_leads_to_what_else_came_from_it(client: FlaskClient) -> None:
    link = 'from <a href="/audit/?client_addr=192.0.2.7">192.0.2.7</a>'
    assert link in body(client, "")
    assert link.removeprefix("from ") in body(client, "transaction/1")
    shown = body(client, "", client_addr="192.0.2.7")
    assert 'href="/audit/">from: 192.0.2.7 <' in shown
    assert 'href="/audit/export.csv?client_addr=192.0.2.7"' in shown
