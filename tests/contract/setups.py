"""The ways of using the library with migrations, and the projects that are generated for them."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from audit_core.quoting import literal, qualified
from sqlalchemy import URL

from tests.contract.project import Project

FLASK_APP = """
import os

import sqlalchemy as sa
from flask import Flask
from flask_audit_logger import AuditLogger
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

db = SQLAlchemy()
Base = db.Model

{models}

audit_logger = AuditLogger(db, {options})

{later}

def create_app():
    app = Flask("app")
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    db.init_app(app)
    Migrate(app, db, {configure})
    return app
"""

ALEMBIC_APP = """
import sqlalchemy as sa
from audit_core import AuditLog
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass

{models}

audit_log = AuditLog(Base, {options})

{later}
"""


class Setup:
    """One way of using the library with migrations.

    :param audit_schema: the ``schema`` of the logger.
    :param include_schemas: goes to Alembic's ``context.configure()``.
    :param configure: further arguments for it, as text.
    """

    app: str
    #: Whether a migrate that finds nothing writes no file.
    skips_empty = True
    #: A name for a schema, with what formatting could take for its own.
    odd_schema = "100%:x"
    #: What each application of this kind imports itself, in its order: of ours, and of what registers itself beside it.
    imports: tuple[str, ...] = ()
    #: The options of the logger that a test does not set.
    options: dict[str, Any]

    def __init__(self, *, audit_schema: str = "public", include_schemas: bool = False, configure: str = "") -> None:
        self.audit_schema = audit_schema
        self.include_schemas = include_schemas
        self.configure = configure
        if include_schemas:
            self.configure = f"include_schemas=True, {configure}"
        if audit_schema != "public":
            self.options = {**self.options, "schema": audit_schema}

    def source(self, models: str, later: str, options: dict[str, Any]) -> str:
        """Return the text of the application."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in {**self.options, **options}.items())
        return self.app.format(models=models, later=later, options=arguments, configure=self.configure)

    def initialize(self, project: MigratedProject) -> None:
        """Make the folder of the migrations."""
        raise NotImplementedError

    def command(self, project: MigratedProject, *arguments: str, stderr: bool = True) -> str:
        """Run a command of the migration tool."""
        raise NotImplementedError


class FlaskSetup(Setup):
    """Flask-Migrate with the ``env.py`` that it writes, unedited."""

    app = FLASK_APP
    imports = ("flask_audit_logger",)
    options = {}  # noqa: RUF012

    def initialize(self, project: MigratedProject) -> None:
        project.write_app("")
        project.tool("init")

    def command(self, project: MigratedProject, *arguments: str, stderr: bool = True) -> str:
        if arguments[0] == "revision" and "--autogenerate" in arguments:
            arguments = ("migrate", *(argument for argument in arguments[1:] if argument != "--autogenerate"))
        # It is the default, and looks like an option.
        arguments = tuple(argument for argument in arguments if argument != "-1")
        return project.run("flask", "--app", "app", "db", *arguments, stderr=stderr)


class AlembicSetup(Setup):
    """Alembic without Flask, with the ``env.py`` that ``alembic init`` writes, edited by hand."""

    app = ALEMBIC_APP
    imports = ("audit_alembic",)
    options = {"actor_cls": "User"}  # noqa: RUF012

    def __init__(self, *, hook: bool = False, **options: Any) -> None:
        if hook:
            options["configure"] = "process_revision_directives=audit_alembic.process_revision_directives"
        self.skips_empty = hook
        super().__init__(**options)

    def initialize(self, project: MigratedProject) -> None:
        project.tool("init", "migrations")
        write_env_py(
            project.directory,
            "import audit_alembic\nfrom app import Base\n\ntarget_metadata = Base.metadata",
            self.configure,
        )

    def command(self, project: MigratedProject, *arguments: str, stderr: bool = True) -> str:
        return project.run("alembic", *arguments, stderr=stderr)


def write_env_py(directory: Path, metadata: str = "target_metadata = None", configure: str = "") -> None:
    """Edit the ``env.py`` of ``alembic init``: where the database is, and which tables are wanted."""
    env_py = directory / "migrations" / "env.py"
    text = re.sub(r"configure\(\s+(connection=.*)\n\s+\)", r"configure(\1)", env_py.read_text())
    for old, new in {
        "config = context.config\n": "config = context.config\n"
        "import os\n"
        'config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"].replace("%", "%%"))\n',
        "\ntarget_metadata = None\n": f"\n{metadata}\n",
        "(connection=connection, target_metadata=target_metadata)": "(connection=connection, "
        f"target_metadata=target_metadata, {configure})",
    }.items():
        assert old in text
        text = text.replace(old, new)
    env_py.write_text(text)


@dataclass
class Migration:
    """A migration file, and the operations that it consists of.

    Our operations are written out, but for ``audit_schema``, ``key_columns=['id']`` and ``version=1``; of
    Alembic's own, only the name and the first argument.
    """

    path: Path
    text: str
    revision: str
    upgrade: list[str]
    downgrade: list[str]

    @classmethod
    def read(cls, path: Path) -> Migration:
        text = path.read_text()
        values: dict[str, Any] = {}
        functions: dict[str, list[str]] = {"upgrade": [], "downgrade": []}
        for node in ast.parse(text).body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Constant):
                values[ast.unparse(node.target)] = node.value.value
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                values[ast.unparse(node.targets[0])] = node.value.value
            elif isinstance(node, ast.FunctionDef):
                direction = node.name.partition("_")[0]
                functions[direction] += [_operation(call) for call in _calls(node)]
        return cls(path, text, values["revision"], functions["upgrade"], functions["downgrade"])


class MigratedProject(Project):
    """A generated application with a database of its own and a folder of migrations."""

    def __init__(self, directory: Path, url: URL, setup: Setup) -> None:
        super().__init__(directory, url)
        self.setup = setup
        self.imports = setup.imports
        self.audit_schema = setup.audit_schema
        #: The revision before the first migration of a test.
        self.start = "base"
        #: What the last command printed.
        self.printed = ""

    def write_app(self, models: str, later: str = "", **options: Any) -> None:
        """Write the application: its models, what comes after the logger, and options of the logger."""
        self.audit_schema = options.get("schema", self.setup.audit_schema)
        (self.directory / "app.py").write_text(self.setup.source(models, later, options))

    def tool(self, *arguments: str, stderr: bool = True) -> str:
        """Run a command of Flask-Migrate or Alembic, by Alembic's name."""
        self.printed = self.setup.command(self, *arguments, stderr=stderr)
        return self.printed

    def migrate(self) -> Migration | None:
        """Have a migration generated; None if there is nothing to do."""
        before = set(self.versions())
        self.tool("revision", "--autogenerate", "-m", "generated")
        (*made,) = set(self.versions()) - before
        if not made:
            assert "No changes in schema detected" in self.printed
            return None
        (path,) = made
        migration = Migration.read(path)
        if not self.setup.skips_empty and not migration.upgrade and not migration.downgrade:
            path.unlink()
            return None
        return migration

    def must_migrate(self) -> Migration:
        """Have a migration generated and applied."""
        migration = self.migrate()
        assert migration is not None
        self.upgrade()
        return migration

    def write_migration(self, upgrade: str, downgrade: str = "pass") -> Migration:
        """Write a migration by hand."""
        before = set(self.versions())
        self.tool("revision", "-m", "by hand")
        (path,) = set(self.versions()) - before
        text = path.read_text()
        for name, body in (("upgrade", upgrade), ("downgrade", downgrade)):
            lines = "".join(f"    {line}\n" for line in body.splitlines())
            empty = re.compile(rf"(def {name}\(\).*?:\n).*?    pass\n", re.DOTALL)
            text = empty.sub(lambda match, lines=lines: match[1] + lines, text, count=1)
        path.write_text(text)
        return Migration.read(path)

    def upgrade(self, revision: str = "head") -> None:
        self.tool("upgrade", revision)

    def downgrade(self, revision: str = "-1") -> None:
        self.tool("downgrade", revision)

    def current(self) -> str:
        """Return the revision that the database is at."""
        with self.connect() as connection:
            ((revision,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return str(revision)

    def check(self) -> None:
        """Run ``check``, which fails if the models and the database differ."""
        assert "No new upgrade operations detected" in self.tool("check")

    def script(self, command: str, revisions: str) -> str:
        """Return the SQL script of an upgrade or a downgrade."""
        return self.tool(command, "--sql", revisions, stderr=False)

    def connect(self) -> psycopg.Connection[Any]:
        conninfo = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(conninfo, autocommit=True)

    def execute(self, sql: str) -> None:
        """Run SQL as somebody with psql does."""
        with self.connect() as connection:
            connection.execute(sql)  # type: ignore[call-overload]

    def recorded(self, table_name: str) -> list[tuple[str, dict[str, Any]]]:
        """Return verb and data of the changes that were recorded: the old row of a delete, else what is new."""
        query = (
            "SELECT verb, CASE WHEN verb LIKE 'delete%' THEN old_data ELSE changed_data END "
            f"FROM {qualified('activity', self.audit_schema)} WHERE table_name = {literal(table_name)} "
            "AND verb <> 'maintenance' ORDER BY id"
        )
        with self.connect() as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def _calls(function: ast.FunctionDef) -> list[tuple[ast.Call, ast.expr | None]]:
    """Find the calls of operations, each with the table of the batch that it is in."""
    calls: list[tuple[ast.Call, ast.expr | None]] = []
    for node in function.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            if isinstance(node.value.func, ast.Attribute):
                calls.append((node.value, None))
        elif isinstance(node, ast.With):
            batch = node.items[0].context_expr
            assert isinstance(batch, ast.Call)
            calls += [
                (inner.value, batch.args[0])
                for inner in node.body
                if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Call)
            ]
    return calls


def _operation(found: tuple[ast.Call, ast.expr | None]) -> str:
    call, table = found
    name = ast.unparse(call.func).partition(".")[2]
    if "audit" not in name:
        return f"{name}({ast.unparse(table or call.args[0])})"
    keywords = [
        keyword
        for keyword in call.keywords
        if keyword.arg != "audit_schema" and ast.unparse(keyword) not in ("version=1", "key_columns=['id']")
    ]
    return f"{name}({', '.join(map(ast.unparse, [*call.args, *keywords]))})"
