from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import URL

from tests.alembic_utils import app
from tests.contract.fixtures import installed, prepared, project, trail
from tests.contract.flask_app import flask_subject
from tests.contract.migrations import model
from tests.contract.setups import FlaskSetup, MigratedProject, Setup
from tests.contract.subject import Subject

__all__ = ["installed", "prepared", "project", "trail"]

LEDGER = model("Ledger", "amount: Mapped[int]")
ENTITIES = """
from alembic_utils.pg_function import PGFunction
from alembic_utils.pg_trigger import PGTrigger
from alembic_utils.pg_view import PGView
from alembic_utils.replaceable_entity import register_entities

register_entities(
    [
        PGFunction("public", "stamp()", "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"),
        PGTrigger(
            "public",
            "stamp",
            "BEFORE INSERT ON public.ledgers FOR EACH ROW EXECUTE FUNCTION public.stamp()",
            on_entity="public.ledgers",
        ),
        PGView("public", "big_ledgers", "SELECT id FROM public.ledgers WHERE amount > 100"),
    ]
)
"""


class AlembicUtilsSetup(FlaskSetup):
    """An application that has used alembic_utils before: a function, a trigger and a view are registered."""

    imports = (
        *FlaskSetup.imports,
        *(f"alembic_utils.{name}" for name in ("pg_function", "pg_trigger", "pg_view", "replaceable_entity")),
    )
    #: alembic_utils takes what follows a colon in the name of a schema for a parameter.
    odd_schema = "100%"

    def source(self, models: str, later: str, options: dict[str, Any]) -> str:
        return super().source(LEDGER + models, ENTITIES + later, options)

    def initialize(self, project: MigratedProject) -> None:
        project.write_app("")
        project.tool("init")
        app = project.directory / "app.py"
        text = app.read_text().replace("audit_logger = AuditLogger(db, )", "")
        for step in (text.replace(ENTITIES, ""), text):
            app.write_text(step)
            project.must_migrate()
        project.check()
        project.start = project.current()


@pytest.fixture(scope="module")
def subject(module_database: URL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    yield from flask_subject(app, module_database, tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module", params=[False, True], ids=["one schema", "include_schemas"])
def setup(request: pytest.FixtureRequest) -> Setup:
    return AlembicUtilsSetup(include_schemas=request.param)
