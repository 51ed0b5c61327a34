"""What the README and the pages of docs/ tell a user to do, done."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent, indent

import pytest
from sqlalchemy import URL, Engine, inspect, text

from tests.contract.project import Project

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}
FOUND = [
    block
    for page in (README, *PAGES.values())
    for block in re.findall(r"<!-- (.+?) -->\n```\w+\n(.*?)```", page, flags=re.DOTALL)
]
BLOCKS: dict[str, str] = dict(FOUND)


def write(directory: Path, mark: str) -> None:
    (directory / mark.split("/")[1]).write_text(BLOCKS[mark])


def commands(mark: str) -> list[list[str]]:
    """Split the commands of a block; the variable that names the database is set by the test."""
    lines = [line for line in BLOCKS[mark].splitlines() if not line.startswith("export ")]
    return [re.findall(r'"[^"]*"|\S+', line) for line in lines]


def last_line(output: str) -> str:
    return output.strip().splitlines()[-1]


@pytest.fixture
def project(tmp_path: Path, database: URL) -> Project:
    project = Project(tmp_path, database, "app")
    project.environment["FLASK_SQLALCHEMY_DATABASE_URI"] = database.render_as_string(hide_password=False)
    return project


def test_each_block_has_a_name_of_its_own() -> None:
    named = [name for name, _ in FOUND if name.startswith(("file:", "commands:", "env.py:", "migration:", "sql:"))]
    assert sorted(named) == sorted(set(named))


def test_the_readme_fits_on_two_screens() -> None:
    assert len(README.splitlines()) <= 150


def test_the_readme(project: Project) -> None:
    write(project.directory, "file: readme/app.py")
    for command in commands("commands: readme"):
        project.run(command[0], "--app", "app", *command[1:])
    client = "from app import app; print(app.test_client().post('/articles', data={'title': 'Hello'}).json)"
    (project.directory / "use.py").write_text(client)
    assert last_line(project.run("use")) == "{'id': 1}"
    log, history, as_of, undo = commands("commands: readme reading")
    for command in (log, history):
        assert "insert  article  1    id: 1; title: Hello" in project.run(command[0], "--app", "app", *command[1:])
    too_early = project.process(as_of[0], "--app", "app", *as_of[1:])
    assert too_early.returncode == 2
    assert "begins" in too_early.stderr
    assert "delete  article  1" in project.run(undo[0], "--app", "app", *undo[1:])


def test_quick_start_for_flask(project: Project) -> None:
    write(project.directory, "file: flask/app.py")
    for command in commands("commands: flask"):
        project.run(command[0], *(["--app", "app"] if command[0] == "flask" else []), *command[1:])
    (project.directory / "use.py").write_text(
        dedent(
            """
            from app import app
            client = app.test_client()
            assert client.post("/articles", data={"title": "Hello"}).json == {"id": 1}
            print(client.get("/trail").json)
            """
        )
    )
    assert last_line(project.run("use")) == str(
        [
            {
                "before": {},
                "changed": {"id": 1, "title": "Hello"},
                "from": "127.0.0.1",
                "what": "insert article 1",
                "who": None,
            }
        ]
    )
    assert "No changes in schema detected" in project.flask("db", "migrate")
    migration = project.last_migration()
    page = PAGES["start.md"]
    shown = re.search(r"```python\ndef upgrade\(\):\n(    op\.init_audit_logger\(.*?)```", page, flags=re.DOTALL)
    assert shown is not None
    for line in shown[1].splitlines():
        assert line.strip().removesuffix(" ...)") in migration


def test_the_page(project: Project) -> None:
    write(project.directory, "file: flask/app.py")
    for command in commands("commands: flask"):
        project.run(command[0], *(["--app", "app"] if command[0] == "flask" else []), *command[1:])
    write(project.directory, "file: flask/page.py")
    (project.directory / "visit.py").write_text(
        dedent(
            """
            from app import User, app, db
            import page
            from flask_login import FlaskLoginClient
            app.secret_key = "secret"
            app.test_client_class = FlaskLoginClient
            with app.app_context():
                db.session.add_all([User(name="Ann"), User(name="Ben")])
                db.session.commit()
                users = db.session.query(User).order_by(User.id).all()
                db.session.expunge_all()
            app.test_client(user=users[0]).post("/articles", data={"title": "Hello"})
            clients = [app.test_client(), *(app.test_client(user=user) for user in users)]
            answers = [client.get("/audit/") for client in clients]
            print([answer.status_code for answer in answers], "insert" in answers[1].text)
            print(clients[1].get("/audit/transaction/1/undo").status_code)
            print(clients[1].get("/audit/?verb=read").text.count("<tr class=\\"read\\">"))
            """
        )
    )
    assert project.run("visit").splitlines()[-3:] == ["[403, 200, 403] True", "200", "3"]


def test_quick_start_for_alembic(project: Project) -> None:
    write(project.directory, "file: alembic/models.py")
    write(project.directory, "file: alembic/write.py")
    project.alembic("init", "migrations")
    env = project.directory / "migrations" / "env.py"
    env.write_text(env.read_text().replace("target_metadata = None\n", BLOCKS["env.py: alembic"]))
    ini = project.directory / "alembic.ini"
    url = project.url.render_as_string(hide_password=False)
    ini.write_text(re.sub(r"^sqlalchemy\.url = .*", f"sqlalchemy.url = {url}", ini.read_text(), flags=re.M))
    for command in commands("commands: alembic"):
        project.run(*command)
    assert last_line(project.run("write")) == (
        "<AuditLogActivity 1 insert articles 1> by Ann because of {'reason': 'first article'}"
    )
    assert "No new upgrade operations detected" in project.alembic("check")


def test_quick_start_for_sqlalchemy(project: Project) -> None:
    write(project.directory, "file: core/app.py")
    assert project.run("app").splitlines() == [
        "ann insert {} {'id': 1, 'title': 'Hello'}",
        "ann update {'id': 1, 'title': 'Hello'} {'title': 'Hello, world'}",
    ]


def test_reading_the_trail(project: Project) -> None:
    write(project.directory, "file: core/app.py")
    write(project.directory, "file: core/read.py")
    assert project.run("read").splitlines()[-6:] == [
        "update {'title': ('Hello', 'Hello, world')}",
        "insert {'id': (None, 1), 'title': (None, 'Hello')}",
        "['Hello']",
        "Hello ()",
        "Hello",
        "{'title': ('Hello', 'Hello, world')}",
    ]


def test_taking_changes_back(project: Project) -> None:
    write(project.directory, "file: core/app.py")
    write(project.directory, "file: core/undo.py")
    steps, undone = project.run("undo").splitlines()[-2:]
    assert steps == (
        "[UndoStep(activity_id=2, action='update', table_name='articles', row_key='1', columns=('title',))] []"
    )
    assert undone == "{'undoes': 2} Hello"


@pytest.mark.parametrize("configure", ["", ", include_schemas=True"])
def test_coming_from_2x(project: Project, engine: Engine, configure: str) -> None:
    """Stand-ins with the names of 2.x are moved away, and the first migrate installs the new trail."""
    with engine.begin() as connection:
        for sql in (
            'CREATE TABLE "users" (id serial PRIMARY KEY)',
            'CREATE TABLE "articles" (id serial PRIMARY KEY)',
            "CREATE TABLE transaction (id bigserial PRIMARY KEY, actor_id int REFERENCES users)",
            "CREATE TABLE activity (id bigserial PRIMARY KEY, transaction_id bigint REFERENCES transaction)",
            "CREATE FUNCTION get_setting(setting text, fallback text) RETURNS text LANGUAGE sql AS 'SELECT fallback'",
            "CREATE FUNCTION jsonb_subtract(arg1 jsonb, arg2 jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT arg1'",
            "CREATE FUNCTION create_activity() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO public.activity DEFAULT VALUES; RETURN NULL; END'",
            *(
                f"CREATE TRIGGER audit_trigger_{verb} AFTER {verb} ON {table} EXECUTE FUNCTION create_activity()"
                for table in ("users", "articles")
                for verb in ("insert", "update", "delete")
            ),
            "INSERT INTO articles DEFAULT VALUES",
        ):
            connection.exec_driver_sql(sql)
    app = re.sub(r"class (\w+)\((.*)\):\n", lambda m: f'{m[0]}    __tablename__ = "{m[1].lower()}s"\n', _models())
    (project.directory / "app.py").write_text(app.replace("Migrate(app, db)", f"Migrate(app, db{configure})"))
    project.flask("db", "init")
    project.flask("db", "revision", "-m", "move the old trail")
    (first,) = project.versions()
    body = indent(dedent(BLOCKS["migration: upgrade"].split("\n", 1)[1]), "    ")
    first.write_text(re.sub(r"def upgrade\(\):\n    pass\n", lambda _: f"def upgrade():\n{body}", first.read_text()))
    project.flask("db", "upgrade")
    project.flask("db", "migrate", "-m", "audit trail")
    assert "drop_" not in project.last_migration().partition("def downgrade")[0]
    project.flask("db", "upgrade")
    assert "No changes in schema detected" in project.flask("db", "migrate")
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO articles DEFAULT VALUES")
        assert connection.scalar(text("SELECT count(*) FROM activity")) == 1
        assert connection.scalar(text("SELECT count(*) FROM audit_2x.activity")) == 1
        assert inspect(connection).get_foreign_keys("transaction", schema="audit_2x") == []


def _models() -> str:
    return dedent(
        """
        from flask import Flask
        from flask_audit_logger import AuditLogger
        from flask_migrate import Migrate
        from flask_sqlalchemy import SQLAlchemy
        from sqlalchemy.orm import Mapped, mapped_column

        db = SQLAlchemy()

        class User(db.Model):
            __table_args__ = {"info": {"versioned": {}}}
            id: Mapped[int] = mapped_column(primary_key=True)

        class Article(db.Model):
            __table_args__ = {"info": {"versioned": {}}}
            id: Mapped[int] = mapped_column(primary_key=True)

        audit_logger = AuditLogger(db)
        app = Flask(__name__)
        app.config.from_prefixed_env()
        db.init_app(app)
        Migrate(app, db)
        """
    )


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)]+)", README))))
def test_links_lead_somewhere(link: str) -> None:
    """Those between the pages are Sphinx's to find."""
    name, _, anchor = link.partition("#")
    assert (ROOT / name).exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)", (ROOT / name).read_text(), flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings}
