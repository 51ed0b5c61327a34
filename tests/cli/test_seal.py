"""``audit-log seal`` and what shows later that nobody altered what was sealed."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from dev.programs import OPENSSL
from tests.cli.conftest import Shop
from tests.cli.shop import Customer, audit_log
from tests.cli.test_verify import as_replica
from tests.needs import path_of


@pytest.fixture
def shop(own_shop: Shop) -> Shop:
    own_shop.write(Customer(id=1, name="Ann", ssn="1"), Customer(id=2, name="Bob"))
    own_shop.change(Customer, 1, name="Anna")
    return own_shop


@pytest.fixture
def digests(tmp_path: Path) -> Path:
    return tmp_path / "digests.jsonl"


@pytest.fixture
def openssl() -> str:
    return path_of(OPENSSL)


@pytest.fixture
def keys(tmp_path: Path, openssl: str) -> tuple[Path, Path]:
    """A private key and its public one, as docs/proof.md makes them."""
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run([openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True)
    return private, public


def test_a_digest_is_kept_and_vouches(shop: Shop, digests: Path) -> None:
    result = shop.run("seal", "--digests", str(digests))
    assert result.stdout == "Seal 1: 3 activities, 0 to 3, and 2 transactions\n"
    (line,) = map(json.loads, digests.read_text().splitlines())
    assert (line["seal"], len(line["hash"])) == (1, 64)
    assert line["hash"] in result.stderr
    assert "Nothing is left to be sealed." in shop.run("seal", "--digests", str(digests)).stderr
    assert len(digests.read_text().splitlines()) == 1
    verified = shop.run("verify", "--seals", "--digests", str(digests))
    assert (verified.stdout, "up to seal 1" in verified.stderr) == ("", True)


def test_what_was_altered_is_named(shop: Shop, digests: Path) -> None:
    shop.run("seal", "--digests", str(digests))
    as_replica(shop.engine, "UPDATE activity SET issued_at = issued_at - interval '1 hour' WHERE id = 2")
    result = shop.run("verify", "--seals", "--digests", str(digests), code=1)
    assert result.stdout == "altered: Activity 2 is not as it was sealed (seal 1).\n"


def test_all_is_one_report(shop: Shop, tmp_path: Path) -> None:
    shop.run("seal")
    shop.change(Customer, 2, name="<b>Bobby</b>")
    as_replica(shop.engine, "UPDATE transaction SET actor_id = '<script>' WHERE id = 1")
    page = tmp_path / "report.html"
    result = shop.run("verify", "--all", "--html", str(page), code=1)
    assert "altered: Transaction 1 is not as it was sealed (seal 1)." in result.stdout
    assert "unsealed: 1 activity is not sealed yet, from 4 on" in result.stdout
    html = page.read_text()
    assert "<script>" not in html
    for title in ("Installation", "Continuity", "Seals"):
        assert f"<h2>{title}</h2>" in html
    kinds = {(each["kind"], each["is_failure"]) for each in map(json.loads, shop.run(
        "verify", "--all", "--json", code=1).stdout.splitlines())}  # fmt: skip
    assert {("altered", True), ("unsealed", False)} <= kinds


def test_a_digest_that_could_not_be_kept_is_tried_again(shop: Shop, digests: Path) -> None:
    failed = shop.run("seal", "--anchor-command", "false", code=2)
    assert "not kept there" in failed.stderr
    shop.run("seal", "--digests", str(digests))
    assert json.loads(digests.read_text())["seal"] == 1


def test_a_command_gets_the_digest(shop: Shop, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shop.run("seal", "--anchor-command", f"tee {kept}")
    assert json.loads(kept.read_text())["seal"] == 1


class TestSignatures:
    def test_a_signed_digest(self, shop: Shop, digests: Path, keys: tuple[Path, Path]) -> None:
        private, public = keys
        shop.run("seal", "--digests", str(digests), "--sign-key", str(private))
        shop.run("verify", "--seals", "--digests", str(digests), "--public-key", str(public))

    def test_one_that_is_not_signed(self, shop: Shop, digests: Path, keys: tuple[Path, Path]) -> None:
        shop.run("seal", "--digests", str(digests))
        result = shop.run("verify", "--seals", "--digests", str(digests), "--public-key", str(keys[1]), code=1)
        assert result.stdout == "digest: The digest of seal 1 is not signed.\n"

    def test_one_that_was_forged(self, shop: Shop, digests: Path, keys: tuple[Path, Path]) -> None:
        shop.run("seal", "--digests", str(digests), "--sign-key", str(keys[0]))
        said = json.loads(digests.read_text())
        digests.write_text(json.dumps(said | {"hash": "00" * 32}))
        result = shop.run("verify", "--seals", "--digests", str(digests), "--public-key", str(keys[1]), code=1)
        assert "has a signature that is not that of its key" in result.stdout

    def test_keys_rotate(
        self, shop: Shop, digests: Path, keys: tuple[Path, Path], tmp_path: Path, openssl: str
    ) -> None:
        shop.run("seal", "--digests", str(digests), "--sign-key", str(keys[0]))
        private, public = tmp_path / "new.pem", tmp_path / "new_public.pem"
        subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
        subprocess.run([openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True)
        shop.change(Customer, 2, name="Bobby")
        shop.run("seal", "--digests", str(digests), "--sign-key", str(private))
        both = ["--public-key", str(keys[1]), "--public-key", str(public)]
        shop.run("verify", "--seals", "--digests", str(digests), *both)
        one = shop.run("verify", "--seals", "--digests", str(digests), *both[:2], code=1)
        assert "that was not given" in one.stdout


TSA = """
[tsa]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256, sha512
[v3]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
"""


@pytest.fixture
def authority(tmp_path: Path, openssl: str) -> Iterator[tuple[str, Path]]:
    """A time stamp authority on loopback, made with openssl: its address, and the certificate to be trusted."""
    folder = tmp_path / "tsa"
    folder.mkdir()
    (folder / "serial").write_text("01\n")
    (folder / "tsa.cnf").write_text(TSA.format(folder=folder))

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, cwd=folder, capture_output=True)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Root")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Authority")
    run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "tsa.pem",
        "-extfile", "tsa.cnf", "-extensions", "v3")  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            run("ts", "-reply", "-config", "tsa.cnf", "-section", "tsa", "-queryfile", "query", "-signer", "tsa.pem",
                "-inkey", "tsa.key", "-out", "answer")  # fmt: skip
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write((folder / "answer").read_bytes())

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", folder / "ca.pem"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_authority_stamps_the_digest(shop: Shop, digests: Path, authority: tuple[str, Path]) -> None:
    url, certificate = authority
    shop.run("seal", "--digests", str(digests), "--timestamp-url", url)
    arguments = ["verify", "--seals", "--digests", str(digests), "--authority", str(certificate)]
    shop.run(*arguments)
    said = json.loads(digests.read_text())
    digests.write_text(json.dumps(said | {"hash": "00" * 32}))
    assert "has a time stamp that is not valid" in shop.run(*arguments, code=1).stdout
    digests.write_text(json.dumps({name: value for name, value in said.items() if name != "timestamp"}))
    assert "has no time stamp" in shop.run(*arguments, code=1).stdout


def test_a_proof_goes_to_somebody_without_the_database(shop: Shop, digests: Path, tmp_path: Path) -> None:
    shop.run("seal", "--digests", str(digests))
    file = tmp_path / "proof.json"
    file.write_text(shop.run("prove", "3").stdout)
    arguments = ["verify-proof", str(file), "--digests", str(digests)]
    result = shop.run(*arguments)
    assert '  changed_data.name: "Anna"' in result.stdout.splitlines()
    assert "Proven: it is in seal 1" in result.stdout
    file.write_text(file.read_text().replace("Anna", "Eve"))
    forged = shop.run(*arguments, code=1)
    assert forged.stderr == "Not proven: The activity is not in seal 1.\n"
    file.write_text("{}")
    assert "This is not a proof" in shop.run(*arguments, code=1).stderr


class TestErasing:
    def test_it_counts_asks_and_erases(self, shop: Shop, digests: Path) -> None:
        shop.run("seal", "--digests", str(digests))
        arguments = ["erase", "customers", "1", "--columns", "name", "--reason", "request 7"]
        planned = shop.run(*arguments, "--dry-run")
        assert planned.stdout.split() == ["table", "column", "values", "customers", "name", "2"]
        assert shop.run(*arguments, input="n\n", code=1).stdout
        assert len(shop.lines("history", "customers", "1")) == 2
        done = shop.run(*arguments, "--yes")
        assert "Erased, as activity 4 says." in done.stderr
        shown = shop.run("history", "customers", "1").stdout
        assert "Anna" not in shown
        assert "name: (erased)" in shown
        history = shop.lines("history", "customers", "1")
        assert all((each["erased"], each["masked"]) == (["name"], ["ssn", "name"]) for each in history)
        result = shop.run("verify", "--seals", "--digests", str(digests))
        assert "erased: Activity 1 had a changed_data.name, erased as activity 4 says" in result.stdout

    def test_json_says_which_activity_tells_of_it(self, shop: Shop) -> None:
        done = shop.object("erase", "customers", "1", "--columns", "name", "--reason", "request 7", "--yes")
        assert done["maintenance_id"] == max(each["id"] for each in shop.lines("log"))
        assert done["values"] == [{"table": "customers", "column": "name", "values": 2}]

    def test_the_report_of_a_large_erasure_is_short(self, shop: Shop, tmp_path: Path) -> None:
        with Session(shop.engine) as session, session.begin():
            session.add_all(Customer(id=number, name="Anna") for number in range(100, 150))
        shop.run("seal")
        is_new = audit_log.activity_cls.verb == "insert"
        with Session(shop.engine) as session, session.begin():
            audit_log.erase(session, Customer, columns=["name"], reason="request 8", where=is_new)
        page = tmp_path / "report.html"
        lines = shop.run("verify", "--seals", "--html", str(page)).stdout.splitlines()
        erased = [each for each in lines if each.startswith("erased: ")]
        assert len(erased) == 21
        assert erased[-1].endswith(" more; --json lists all.")
        assert erased[-1].removeprefix("erased: ") in page.read_text()
        assert len([each for each in shop.lines("verify", "--seals") if each["kind"] == "erased"]) > 50

    def test_what_the_trail_has_of_a_person(self, shop: Shop) -> None:
        printed = shop.run("subject", "customers", "1", "--actor", "ann").stdout
        lines = [json.loads(line) for line in printed.splitlines()]
        assert [each["role"] for each in lines] == ["record", "record", "actor"]
        assert {each["table"] for each in lines} == {"customers"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seal", "--timestamp-url", "http://127.0.0.1:1/"], "Where is the digest to be kept?"),
        (["seal", "--every", "soon"], "such as 60s"),
        (["verify", "--seals", "--public-key", __file__], "give the file"),
        (["prove", "999"], "not sealed yet"),
    ],
)
def test_mistakes(shop: Shop, arguments: list[str], message: str) -> None:
    assert message in shop.run(*arguments, code=2).stderr
