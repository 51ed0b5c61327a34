"""``export`` writes the trail to a file, with all that it knows."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import stat
import subprocess
import sys
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audit_core.cli import formats
from audit_core.exporting.columns import COLUMNS
from audit_core.exporting.writers import Rows, Writer
from sqlalchemy import text

from tests.cli.conftest import Shop
from tests.cli.shop import Customer, Order

# The package has a command of that name, too.
export_module = import_module("audit_core.cli.export")

EXACT = "12345678901234567890.12345678901234567890"


@pytest.fixture(scope="module")
def filled(shared_shop: Shop) -> Shop:
    shared_shop.write(
        Customer(id=1, name='Ä "quoted"\n\x1b[1m', ssn="078-05-1120"),
        Order(id=1, customer_id=1, total=Decimal(EXACT)),
        reason="import",
        client_addr="192.0.2.7",
    )
    shared_shop.change(Customer, 1, actor="ben", name="Eva")
    return shared_shop


def test_jsonl_has_one_object_for_each_activity_oldest_first(filled: Shop) -> None:
    lines = filled.run("export", "--format", "jsonl").stdout.splitlines()
    first, second, third = map(json.loads, lines)
    assert tuple(first) == COLUMNS
    assert (first["actor_id"], first["client_addr"], first["meta"]) == ("ann", "192.0.2.7", {"reason": "import"})
    assert first["changed_data"] == {"id": 1, "name": 'Ä "quoted"\n\x1b[1m', "ssn": "***"}
    assert f'"total": {EXACT}' in lines[1]
    assert second["table"] == "orders"
    assert third["old_data"]["name"] == 'Ä "quoted"\n\x1b[1m'


def test_jsonl_says_the_same_as_log(filled: Shop) -> None:
    exported = map(json.loads, filled.run("export", "--format", "jsonl").stdout.splitlines())
    shown = filled.lines("log")[::-1]
    assert list(exported) == [{name: value for name, value in each.items() if name != "changes"} for each in shown]


def test_csv_has_a_heading_and_json_as_text(filled: Shop, tmp_path: Path) -> None:
    file = tmp_path / "trail.csv"
    filled.run("export", "--format", "csv", "--output", str(file))
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert json.loads(rows[0]["changed_data"])["name"] == 'Ä "quoted"\n\x1b[1m'
    assert rows[2]["client_addr"] == ""
    assert [each["verb"] for each in rows] == ["insert", "insert", "update"]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ('=HYPERLINK("x")', '"\'=HYPERLINK(""x"")"'),
        ("+49 30 1", '"\'+49 30 1"'),
        ("-cmd", '"\'-cmd"'),
        ("@SUM(A1)", '"\'@SUM(A1)"'),
        ("\tx", '"\'\tx"'),
        ("\rx", '"\'\rx"'),
        ("\uff1d1+1", '"\'\uff1d1+1"'),
        ("x;=1+1", '"x;=1+1"'),
        ("-5", '"-5"'),
        ("-5.5e3", '"-5.5e3"'),
        ("-5+1", '"\'-5+1"'),
        (-5, "-5"),
        (Decimal("-1.50"), "-1.50"),
        (None, '""'),
    ],
)
def test_no_cell_is_run_by_a_spreadsheet(value: Any, cell: str) -> None:
    file = io.BytesIO()
    writer = formats.Csv(file)
    row = dict.fromkeys(COLUMNS, 1) | {"issued_at": dt.datetime(2026, 11, 24, tzinfo=dt.timezone.utc), "id": value}
    writer.write([row])
    assert file.getvalue().decode().split("\n", 1)[1].startswith(f"{cell},")


def test_a_name_that_a_spreadsheet_would_run_is_quoted(own_shop: Shop) -> None:
    own_shop.write(Customer(id=-1, name="x"), actor="=1+1")
    row = next(csv.DictReader(io.StringIO(own_shop.run("export", "--format", "csv").stdout)))
    assert (row["actor_id"], row["row_key"]) == ("'=1+1", "-1")
    assert json.loads(own_shop.run("export", "--format", "jsonl").stdout)["actor_id"] == "=1+1"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_replaced_keeps_its_mode(filled: Shop, tmp_path: Path, mode: int) -> None:
    file = tmp_path / "trail.jsonl"
    file.write_text("old")
    file.chmod(mode)
    before = file.stat().st_ino
    filled.run("export", "--format", "jsonl", "--output", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == mode
    assert file.stat().st_ino != before, "written beside and renamed"
    assert "import" in file.read_text()


def test_parquet_has_types(filled: Shop, tmp_path: Path) -> None:
    file = tmp_path / "trail.parquet"
    filled.run("export", "--format", "parquet", "--output", str(file))
    table = pq.read_table(file)
    assert tuple(table.column_names) == COLUMNS
    assert table.schema.field("id").type == pa.int64()
    assert table.schema.field("transaction_id").type == pa.int64()
    assert table.schema.field("issued_at").type == pa.timestamp("us", tz="UTC")
    assert {table.schema.field(name).type for name in ("old_data", "changed_data", "meta", "actor_id")} == {pa.string()}
    shown = filled.lines("log")[::-1]
    for row, activity in zip(table.to_pylist(), shown, strict=True):
        assert row["issued_at"].isoformat() == activity["issued_at"]
        assert json.loads(row["old_data"]) == activity["old_data"]
        assert (row["id"], row["actor_id"], row["row_key"]) == (
            activity["id"],
            activity["actor_id"],
            activity["row_key"],
        )
    assert EXACT in table.to_pylist()[1]["changed_data"]


def test_parquet_goes_through_a_pipe(filled: Shop) -> None:
    exported = subprocess.run(
        [sys.executable, "-m", "audit_core.cli", *filled.given, "export", "--format", "parquet"],
        capture_output=True,
        check=True,
    )
    assert exported.stderr == b""
    assert pq.read_table(io.BytesIO(exported.stdout)).num_rows == 3


def test_a_large_export_goes_batch_by_batch(filled: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_module, "BATCH", 2)
    file = tmp_path / "trail.parquet"
    filled.run("export", "--format", "parquet", "--output", str(file))
    found = pq.ParquetFile(file)
    assert [found.metadata.row_group(each).num_rows for each in range(found.num_row_groups)] == [2, 1]


def test_table_and_time_can_be_chosen(filled: Shop) -> None:
    chosen = filled.run("export", "--format", "jsonl", "--table", "orders", "--since", "1h").stdout.splitlines()
    assert [json.loads(each)["table"] for each in chosen] == ["orders"]
    assert filled.run("export", "--format", "jsonl", "--until", "1h").stdout == ""
    assert "No table 'nix' is audited" in filled.mistake("export", "--format", "jsonl", "--table", "nix")


def test_an_export_without_rows_is_a_complete_file(filled: Shop, tmp_path: Path) -> None:
    file = tmp_path / "none.parquet"
    filled.run("export", "--format", "parquet", "--output", str(file), "--until", "1h")
    assert pq.read_table(file).num_rows == 0


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_a_broken_export_leaves_the_old_file_and_no_half_one(
    filled: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    """The server ends the connection after the first batch."""
    file = tmp_path / "trail"
    file.write_text("old")
    make_writer = formats.make_writer

    def breaking_writer(*arguments: Any) -> Writer:
        writer = make_writer(*arguments)
        write = writer.write

        def write_and_break(rows: Rows) -> None:
            write(rows)
            assert len(list(tmp_path.iterdir())) == 2
            with filled.engine.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
                    )
                )

        monkeypatch.setattr(writer, "write", write_and_break)
        return writer

    monkeypatch.setattr(export_module, "BATCH", 1)
    monkeypatch.setattr(formats, "make_writer", breaking_writer)
    message = filled.mistake("export", "--format", format_, "--output", str(file))
    assert message.startswith("Error: The database does not answer: ")
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]


def test_a_place_that_cannot_be_written_to_is_a_mistake(filled: Shop, tmp_path: Path) -> None:
    message = filled.mistake("export", "--format", "csv", "--output", str(tmp_path / "nix" / "trail.csv"))
    assert message.endswith("cannot be written: No such file or directory.")
