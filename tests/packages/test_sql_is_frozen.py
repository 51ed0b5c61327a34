"""Released SQL never changes, and the changelog announces each version."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from audit_core.sql import sql_version

ROOT = Path(__file__).parents[2]
SQL = ROOT / "packages/audit-core/src/audit_core/sql"
FILES = {path.relative_to(SQL).as_posix(): path for path in SQL.rglob("*.sql")}
VERSIONS = {name.split("/")[0] for name in FILES}
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CHECKSUMS = (ROOT / "tests/packages/sql.sha256").read_text().splitlines()
FROZEN = {name: checksum for checksum, name in map(str.split, CHECKSUMS)}


def test_frozen_versions_are_unchanged() -> None:
    frozen = {name.split("/")[0] for name in FROZEN}
    assert {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in FILES.items()
        if name.split("/")[0] in frozen
    } == FROZEN


def test_versions_are_frozen_when_they_are_released() -> None:
    _, *releases = CHANGELOG.split("\n## ")
    released = "".join(text for text in releases if "(unreleased)" not in text.splitlines()[0])
    *older, _ = sorted(VERSIONS, key=lambda version: int(version.removeprefix("v")))
    announced = {f"v{number}" for number in re.findall(r"SQL version \*\*(\d+)\*\*", released)}
    assert announced.union(older) <= {name.split("/")[0] for name in FROZEN}


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_changelog_announces_the_version(version: str) -> None:
    assert f"SQL version **{version.removeprefix('v')}**" in CHANGELOG


@pytest.mark.parametrize("name", sorted(FILES))
def test_sql_is_ascii_with_unix_line_ends(name: str) -> None:
    text = FILES[name].read_bytes()
    assert text.isascii()
    assert b"\r" not in text


@pytest.mark.parametrize("name", sorted(FILES))
def test_each_file_says_what_it_does(name: str) -> None:
    """In a comment at its head."""
    assert FILES[name].read_text().startswith("-- ")


@pytest.mark.parametrize("version", sorted(VERSIONS))
def test_what_a_file_says_of_itself_stays_there(version: str) -> None:
    sql = sql_version(int(version.removeprefix("v")))
    values = {"schema": "s", "schema_literal": "'s'", "sequence": "s.activity_id_seq"}
    values |= {"sequence_literal": "'s.activity_id_seq'", "command_sequence_literal": "'s.activity_command_seq'"}
    values |= {"table": "t", "arguments": "", "actor_id_type": "text"}
    files = ["create_schema", "create_tables", "protect_tables", "drop_tables", "drop_schema"]
    rendered = [
        *sql.functions(**values),
        *(statement for name in files for statement in sql.statements(name, **values)),
        *sql.triggers("plain", sql.trigger_names(), **values),
        *sql.triggers("partitioned", sql.trigger_names(), **values),
    ]
    assert {statement.split(maxsplit=1)[0] for statement in rendered}.isdisjoint({"--"})
