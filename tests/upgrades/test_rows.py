"""The worked example of docs/importing.md."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
from sqlalchemy import URL

from tests.contract.project import Project

PAGE = (Path(__file__).parents[2] / "docs" / "importing.md").read_text()

MODELS = """
from audit_core import AuditLog
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Article(Base):
    __tablename__ = "shop_article"
    __table_args__ = ({"info": {"versioned": {}}},)
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]

log = AuditLog(Base)
"""
INSTALL = """
import os
from sqlalchemy import create_engine
from models import Base, log

engine = create_engine(os.environ["DATABASE_URL"])
with engine.begin() as connection:
    Base.metadata.create_all(connection)
    log.install(connection)
"""
HISTORY = """
CREATE TABLE shop_historicalarticle (history_id serial, history_date timestamptz, history_change_reason text,
    history_type text, history_user_id int, id int, title text);
INSERT INTO shop_historicalarticle (history_date, history_change_reason, history_type, history_user_id, id, title)
VALUES
    ('2020-01-01 12:00+00', NULL, '+', 1, 7, 'Hello'), ('2020-01-02 12:00+00', 'Typo', '~', 2, 7, 'Hello!'),
    ('2020-01-03 12:00+00', NULL, '~', 2, 8, 'Older'), ('2020-01-04 12:00+00', NULL, '-', NULL, 7, 'Hello!');
"""


def test_the_history_of_django_simple_history(tmp_path: Path, database: URL) -> None:
    project = Project(tmp_path, database)
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "install.py").write_text(INSTALL)
    found = re.search(r"<!-- file: importing/convert.py -->\n```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert found is not None
    (tmp_path / "convert.py").write_text(found[1])
    project.run("install")
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(HISTORY)
    project.environment["DATABASE_URL"] = url
    (tmp_path / "history.jsonl").write_text(project.run("convert", stderr=False))
    project.environment |= {"AUDIT_LOG_URL": url, "AUDIT_LOG_METADATA": "models:Base"}
    arguments = ("import", "--format", "jsonl", "--source", "django-simple-history", "history.jsonl")
    printed = project.run("audit_core.cli", *arguments)
    assert "Imported 4 changes in 4 transactions" in printed
    assert "Without an actor: 1 changes" in printed
    shown = project.run("audit_core.cli", "history", "shop_article", "7")
    assert [line.split()[4] for line in shown.splitlines()[1:]] == ["delete", "update", "insert"]
    assert "title: Hello → Hello!" in shown
