"""Our hook and that of Flask-Migrate's env.py, one after the other."""

from __future__ import annotations

import pytest

from tests.contract.migrations import COMMENT, MODELS
from tests.contract.setups import MigratedProject

OURS = "audit_logger.process_revision_directives(context, revision, directives)"
THEIRS = "flask_migrate_hook(context, revision, directives)"


@pytest.mark.parametrize("calls", [(OURS, THEIRS), (THEIRS, OURS), (OURS, OURS, THEIRS), (OURS, "pass")])
def test_hooks_in_any_order(project: MigratedProject, calls: tuple[str, ...]) -> None:
    env_py = project.directory / "migrations" / "env.py"
    text = env_py.read_text()
    theirs = "    def process_revision_directives(context, revision, directives):\n"
    assert theirs in text
    text = text.replace(theirs, theirs.replace("process_revision_directives", "flask_migrate_hook"))
    ours = "\n        ".join(calls)
    configured = "    conf_args = current_app.extensions['migrate'].configure_args\n"
    assert configured in text
    text = text.replace(configured, f"    from app import audit_logger\n\n{theirs}        {ours}\n\n{configured}")
    env_py.write_text(text)
    project.write_app(MODELS)
    assert project.must_migrate().upgrade[0].startswith("init_audit_logger(")
    assert project.migrate() is None
    assert project.printed.count("No changes in schema detected") == 1
    project.write_app(MODELS.replace(COMMENT, ""))
    assert project.must_migrate().upgrade == ["drop_table('comments')"]


def test_what_a_later_hook_adds_is_written(project: MigratedProject) -> None:
    env_py = project.directory / "migrations" / "env.py"
    configured = "    conf_args = current_app.extensions['migrate'].configure_args\n"
    env_py.write_text(
        env_py.read_text().replace(
            configured,
            "    def hook(context, revision, directives):\n"
            "        from alembic.operations.ops import ExecuteSQLOp\n"
            "        from app import audit_logger\n\n"
            f"        {OURS}\n"
            "        directives[0].upgrade_ops.ops.append(ExecuteSQLOp('SELECT 1'))\n\n"
            f"{configured}"
            "    conf_args['process_revision_directives'] = hook\n",
        )
    )
    project.write_app(MODELS)
    project.must_migrate()
    again = project.migrate()
    assert again is not None
    assert again.upgrade == ["execute('SELECT 1')"]
