"""What alembic_utils does to the user's own functions, triggers, views and grants, and to nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from audit_core.quoting import qualified, quote

from tests.contract.inventory import inventory
from tests.contract.migrations import INSERT_ARTICLE, MODELS
from tests.contract.setups import MigratedProject

SHOUT = """
register_entities(
    [
        PGFunction(
            "public",
            "shout()",
            "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.title := upper(NEW.title); RETURN NEW; END $$",
        )
    ]
)
"""
SHOUT_TRIGGER = """
register_entities(
    [
        PGTrigger(
            "public",
            "shout",
            "BEFORE INSERT ON public.articles FOR EACH ROW EXECUTE FUNCTION public.shout()",
            on_entity="public.articles",
        )
    ]
)
"""


def test_a_trigger_of_the_user_on_an_audited_table(installed: MigratedProject) -> None:
    installed.write_app(MODELS, SHOUT)
    installed.must_migrate()
    installed.write_app(MODELS, SHOUT + SHOUT_TRIGGER)
    assert installed.must_migrate().upgrade == ["create_entity(public_articles_shout)"]
    installed.check()
    assert installed.migrate() is None
    installed.execute(INSERT_ARTICLE)
    assert installed.recorded("articles") == [("insert", {"id": 1, "title": "TITLE"})]

    installed.write_app(MODELS, SHOUT)
    assert installed.must_migrate().upgrade == ["drop_entity(public_articles_shout)"]
    installed.check()
    installed.execute(INSERT_ARTICLE)
    assert installed.recorded("articles")[1:] == [("insert", {"id": 2, "title": "title"})]
    installed.downgrade()
    installed.execute(INSERT_ARTICLE)
    assert installed.recorded("articles")[2:] == [("insert", {"id": 3, "title": "TITLE"})]


def test_a_changed_function_of_the_user_is_replaced_and_one_not_registered_is_dropped(
    installed: MigratedProject,
) -> None:
    installed.write_app(MODELS, SHOUT)
    installed.must_migrate()
    installed.write_app(MODELS, SHOUT.replace("upper", "lower"))
    assert installed.must_migrate().upgrade == ["replace_entity(public_shout)"]
    installed.check()
    installed.write_app(MODELS)
    assert installed.must_migrate().upgrade == ["drop_entity(public_shout)"]
    installed.check()


def test_a_function_and_a_view_of_the_user_in_the_schema_of_the_trail(project: MigratedProject) -> None:
    """alembic_utils looks into every schema of a registered entity."""
    before = inventory(project.url)
    project.write_app(MODELS, schema="audit")
    project.must_migrate()
    project.write_app(
        MODELS,
        "register_entities([\n"
        "    PGFunction('audit', 'report()', 'RETURNS int8 LANGUAGE sql AS $$SELECT count(*) FROM audit.activity$$'),\n"
        "    PGView('audit', 'latest', 'SELECT max(id) AS id FROM audit.activity'),\n"
        "])\n",
        schema="audit",
    )
    assert sorted(project.must_migrate().upgrade) == ["create_entity(audit_latest)", "create_entity(audit_report)"]
    project.check()
    project.execute(INSERT_ARTICLE)
    with project.connect() as connection:
        assert connection.execute("SELECT audit.report(), id FROM audit.latest").fetchone() == (1, 1)
    project.downgrade(project.start)
    assert inventory(project.url) == before


@pytest.fixture
def role(installed: MigratedProject) -> Iterator[str]:
    """A role that belongs to no one test but to the whole server."""
    name = f"reader_{installed.url.database}"
    installed.execute(f"CREATE ROLE {quote(name)}")
    yield name
    installed.execute(f"DROP OWNED BY {quote(name)}; DROP ROLE {quote(name)}")


def test_grants_on_the_trail_are_left_alone(installed: MigratedProject, role: str) -> None:
    activity, transaction = (qualified(table, installed.audit_schema) for table in ("activity", "transaction"))
    installed.execute(f"GRANT SELECT ON {activity}, {transaction} TO {quote(role)}")
    installed.execute(f"GRANT TRIGGER ON {activity} TO {quote(role)}")
    assert installed.migrate() is None
    installed.check()


def test_grants_on_audited_tables_are_those_of_the_user(installed: MigratedProject, role: str) -> None:
    grant = (
        "from alembic_utils.pg_grant_table import PGGrantTable\n"
        "register_entities([PGGrantTable('public', {table!r}, {role!r}, 'SELECT', columns={columns})])\n"
    )
    articles = grant.format(table="articles", role=role, columns=["id", "title"])
    activity = grant.format(table="activity", role=role, columns=["id", "verb"])
    installed.write_app(MODELS, articles + activity)
    assert len(installed.must_migrate().upgrade) == 2
    installed.check()
    assert installed.migrate() is None
    installed.write_app(MODELS, activity)
    (dropped,) = installed.must_migrate().upgrade
    assert dropped.startswith("drop_entity(public_articles_")
    installed.check()
