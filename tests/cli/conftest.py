from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from audit_core import audit_context
from audit_core.cli.standalone import audit_log as audit_log_command
from click.testing import CliRunner, Result
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import Session

from tests.cli import shop

ROOT = Path(__file__).parents[2]


@dataclass
class Shop:
    """A shop in a database, and the command line that reads its trail."""

    url: URL
    engine: Engine

    @property
    def given(self) -> list[str]:
        """The options that say which trail is meant."""
        return ["--url", self.url.render_as_string(hide_password=False), "--metadata", "tests.cli.shop:Base"]

    def run(self, *arguments: str, code: int = 0, input: str | None = None) -> Result:
        """Run a command of ``audit-log`` in this process."""
        result = CliRunner().invoke(audit_log_command, [*self.given, *arguments], input=input)
        assert result.exit_code == code, result.output
        return result

    def lines(self, *arguments: str) -> list[Any]:
        """Return the objects that a command prints with ``--json``."""
        return [json.loads(line) for line in self.run(*arguments, "--json").stdout.splitlines()]

    def object(self, *arguments: str, code: int = 0) -> Any:
        """Return the one object that a command prints with ``--json``."""
        (line,) = self.run(*arguments, "--json", code=code).stdout.splitlines()
        return json.loads(line)

    def mistake(self, *arguments: str) -> str:
        """Return what a command says that the caller has to put right."""
        result = self.run(*arguments, code=2)
        (line,) = result.stderr.splitlines()
        assert result.stdout == ""
        return line

    def write(self, *objects: Any, actor: str | None = "ann", **context: Any) -> int:
        """Add objects in a transaction of its own, and return its id in the trail."""
        with Session(self.engine) as session, audit_context(actor_id=actor, **context):
            for each in objects:
                session.add(each)
                session.flush()
            session.commit()
        return self.last().transaction_id

    def change(self, model: Any, key: Any, actor: str | None = "ann", **values: Any) -> int:
        """Change columns of a row, and return the transaction's id in the trail."""
        with Session(self.engine) as session, audit_context(actor_id=actor):
            row = session.get_one(model, key)
            for name, value in values.items():
                setattr(row, name, value)
            session.commit()
        return self.last().transaction_id

    def delete(self, model: Any, key: Any) -> int:
        with Session(self.engine) as session, audit_context(actor_id="ann"):
            session.delete(session.get_one(model, key))
            session.commit()
        return self.last().transaction_id

    def shown_at(self) -> str:
        """The time of the newest activity, as a command takes it."""
        when: str = self.last().issued_at.isoformat()
        return when

    def last(self) -> Any:
        """The newest activity."""
        with Session(self.engine) as session:
            return session.scalars(shop.audit_log.activities().limit(1)).one()


def _shop(url: URL) -> Iterator[Shop]:
    engine = create_engine(url)
    with engine.begin() as connection:
        shop.Base.metadata.create_all(connection)
        shop.audit_log.install(connection)
    shop.audit_log.attach(engine)
    yield Shop(url, engine)
    shop.audit_log.detach(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def shared_shop(module_database: URL) -> Iterator[Shop]:
    """A shop that the tests of one file share."""
    yield from _shop(module_database)


@pytest.fixture
def own_shop(database: URL) -> Iterator[Shop]:
    """A shop of which a test may count everything."""
    yield from _shop(database)


def program(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m <command>`` as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def printed(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    assert done.returncode == code, done.stderr
    assert done.stderr == ""
    return done.stdout
