"""What the README and the pages of docs/ tell a user to do, done."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy import URL

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
            print([answer.status_code for answer in answers], "article 1, Hello</a>" in answers[1].text)
            print(clients[1].get("/audit/transaction/1/undo").status_code)
            print(clients[1].get("/audit/?verb=read").text.count("<li class=\\"entry\\">"))
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
    assert project.run("read").splitlines()[-9:] == [
        "update {'title': ('Hello', 'Hello, world')}",
        "insert {'id': (None, 1), 'title': (None, 'Hello')}",
        "['Hello']",
        "Hello ()",
        "[('Hello', 'Hello, world')]",
        "Hello",
        "{'title': ('Hello', 'Hello, world')}",
        "id ann",
        "title ann",
    ]


def test_taking_changes_back(project: Project) -> None:
    write(project.directory, "file: core/app.py")
    write(project.directory, "file: core/undo.py")
    steps, undone = project.run("undo").splitlines()[-2:]
    assert steps == (
        "[UndoStep(activity_id=2, action='update', table_name='articles', row_key='1', columns=('title',))] []"
    )
    assert undone == "{'undoes': 2} Hello"


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)]+)", README))))
def test_links_lead_somewhere(link: str) -> None:
    """Those between the pages are Sphinx's to find."""
    name, _, anchor = link.partition("#")
    assert (ROOT / name).exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)", (ROOT / name).read_text(), flags=re.MULTILINE)
        assert anchor in {re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-")) for heading in headings}
