"""``stream`` hands each committed activity on, once it was taken never again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.cli.conftest import ROOT, Shop
from tests.cli.shop import Customer, Order


class Receiver:
    """A program on loopback that is called; ``answers`` are the statuses that it gives, at last 204."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []

    def keys(self) -> list[str]:
        return [json.loads(line)["row_key"] for _, body in self.requests for line in body.splitlines()]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
            status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
            if status == 0:
                self.connection.close()  # as a program that dies
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield receiver
        server.shutdown()
        thread.join()


def once(shop: Shop, *options: str, code: int = 0) -> Any:
    return shop.run("stream", "c", "--once", "--interval", "0.3", *options, code=code)


def keys(shop: Shop, *options: str) -> list[str]:
    return [json.loads(line)["row_key"] for line in once(shop, *options).stdout.splitlines()]


def unnamed(activities: list[Any]) -> list[Any]:
    """Leave out the names of the actors, which may have changed when an activity is sent again."""
    return [{name: value for name, value in each.items() if name != "actor"} for each in activities]


def test_lines_are_those_of_the_log(own_shop: Shop) -> None:
    assert keys(own_shop) == []
    own_shop.write(Customer(id=1, name="x"), Order(id=2, customer_id=1, total=1))
    lines = [json.loads(line) for line in once(own_shop).stdout.splitlines()]
    assert lines == unnamed(own_shop.lines("log")[::-1])
    assert keys(own_shop) == []


def test_tables_and_start(own_shop: Shop) -> None:
    own_shop.write(Customer(id=1, name="x"), Order(id=2, customer_id=1, total=1))
    assert keys(own_shop, "--start", "beginning", "--table", "orders") == ["2"]
    assert own_shop.run("stream", "d", "--once", "--start", "1h").stdout.count("\n") == 2
    assert "is not a time" in own_shop.mistake("stream", "e", "--once", "--start", "soon")


def test_cloud_events(own_shop: Shop) -> None:
    once(own_shop)
    own_shop.write(Customer(id=1, name="x"))
    (event,) = map(json.loads, once(own_shop, "--format", "cloudevents").stdout.splitlines())
    (activity,) = unnamed(own_shop.lines("log"))
    assert event == {
        "specversion": "1.0",
        "id": str(activity["id"]),
        "source": f"/audit/{own_shop.url.database}/public",
        "type": "audit.insert",
        "subject": "public.customers/1",
        "time": activity["issued_at"],
        "datacontenttype": "application/json",
        "sequence": f"{activity['id']:020d}",
        "partitionkey": "public.customers/1",
        "data": activity,
    }


def test_a_batch_is_a_request(own_shop: Shop, receiver: Receiver) -> None:
    once(own_shop)
    own_shop.write(*(Customer(id=key, name="x") for key in (1, 2, 3)))
    once(own_shop, "--to", receiver.url, "--batch", "2")
    assert receiver.keys() == ["1", "2", "3"]
    assert [headers["content-type"] for headers, _ in receiver.requests] == ["application/x-ndjson"] * 2
    assert "webhook-signature" not in receiver.requests[0][0]
    own_shop.write(Customer(id=4, name="x"))
    once(own_shop, "--to", receiver.url, "--format", "cloudevents", "--source", "https://shop.example")
    headers, body = receiver.requests[-1]
    assert headers["content-type"] == "application/cloudevents-batch+json"
    (event,) = json.loads(body)
    assert (event["source"], event["data"]["row_key"]) == ("https://shop.example", "4")


@pytest.mark.parametrize("secret", ["open sesame", "whsec_" + base64.b64encode(b"\x00key\xff").decode()])
def test_requests_are_signed(own_shop: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    monkeypatch.setenv("AUDIT_STREAM_SECRET", secret)
    once(own_shop)
    own_shop.write(Customer(id=1, name="x"))
    once(own_shop, "--to", receiver.url)
    ((headers, body),) = receiver.requests
    key = b"\x00key\xff" if secret.startswith("whsec_") else secret.encode()
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60


def test_what_fails_in_passing_is_sent_again_under_the_same_id(own_shop: Shop, receiver: Receiver) -> None:
    once(own_shop)
    own_shop.write(Customer(id=1, name="x"))
    receiver.answers = [(503, {}), (0, {}), (429, {"Retry-After": "1"})]
    began = time.monotonic()
    result = once(own_shop, "--to", receiver.url)
    assert time.monotonic() - began > 1
    assert receiver.keys() == ["1"] * 4
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    assert [line.split(": ", 1)[1].split(";")[0] for line in result.stderr.splitlines()][::2] == [
        "503 Service Unavailable",
        "429 Too Many Requests",
    ]
    assert keys(own_shop) == []


@pytest.mark.parametrize("answer", [(400, {}), (302, {"Location": "http://127.0.0.1:1/"})])
def test_what_is_refused_is_not_acknowledged(
    own_shop: Shop, receiver: Receiver, answer: tuple[int, dict[str, str]]
) -> None:
    once(own_shop)
    own_shop.write(Customer(id=1, name="x"))
    receiver.answers = [answer]
    result = once(own_shop, "--to", receiver.url, code=2)
    assert f"refuses c-1-1: {answer[0]}" in result.stderr
    assert keys(own_shop) == ["1"]


def test_attempts_have_an_end_if_one_is_given(own_shop: Shop, receiver: Receiver) -> None:
    once(own_shop)
    own_shop.write(Customer(id=1, name="x"))
    receiver.answers = [(500, {})] * 2
    assert "attempt 2 was the last" in once(own_shop, "--to", receiver.url, "--attempts", "2", code=2).stderr
    assert keys(own_shop) == ["1"]


def test_consumers_are_listed_and_removed(own_shop: Shop) -> None:
    assert own_shop.run("stream", "--list").stderr == "Nobody reads along.\n"
    once(own_shop)
    own_shop.write(Customer(id=1, name="x"))
    (state,) = own_shop.object("stream", "--list")["streams"]
    assert (state["name"], state["behind"], state["problem"]) == ("c", 1, None)
    heading, line = own_shop.run("stream", "--list").stdout.splitlines()
    assert heading.split()[0] == "name"
    assert line.split()[:3] == ["c", "0", "1"]
    own_shop.run("stream", "c", "--remove")
    assert own_shop.object("stream", "--list") == {"streams": []}
    assert own_shop.mistake("stream", "c", "--remove") == "Error: There is no stream 'c'."
    assert own_shop.mistake("stream") == "Error: Which consumer? Give its NAME, or --list."
    assert "--to is 'x'" in own_shop.mistake("stream", "c", "--to", "x")


def test_notify_is_switched_on_and_off(own_shop: Shop) -> None:
    own_shop.run("stream", "--notify", "on")
    with streaming(own_shop, "--wake-up", "--interval", "30") as process:
        time.sleep(0.5)
        own_shop.write(Customer(id=1, name="x"))
        assert next_key(process) == "1"
    own_shop.run("stream", "--notify", "off")
    own_shop.run("check")


@contextmanager
def streaming(shop: Shop, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "audit_core.cli", *shop.given, "stream", "c", "--interval", "0.05", *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    guard = threading.Timer(30, process.kill)
    guard.start()
    while not shop.object("stream", "--list")["streams"]:
        time.sleep(0.05)
    try:
        yield process
    finally:
        guard.cancel()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert (rest, errors) == ("", "")
    assert process.returncode == 130


def next_key(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())["row_key"]


def test_it_goes_on_until_it_is_stopped(own_shop: Shop) -> None:
    with streaming(own_shop) as process:
        own_shop.write(Customer(id=1, name="x"))
        assert next_key(process) == "1"
        own_shop.write(Customer(id=2, name="x"))
        assert next_key(process) == "2"
        time.sleep(0.2)
    own_shop.write(Customer(id=3, name="x"))
    assert keys(own_shop) == ["3"]
