"""What docs/frameworks.md tells users to write, done with the real packages."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from sqlalchemy import URL

from tests.frameworks.documentation import page_of, python, write_files
from tests.frameworks.programs import redis, worker

#: What the page says that an example prints, by its heading.
PRINTED: dict[str, str] = {
    section.partition("\n")[0]: found[1]
    for section in page_of("frameworks").split("\n## ")
    if (found := re.search(r"It prints\n\n```text\n(.*?)```", section, re.DOTALL))
}


def test_an_actor_out_of_a_bearer_token(database: URL, tmp_path: Path) -> None:
    write_files("frameworks", "token", tmp_path)
    (tmp_path / "use.py").write_text(
        dedent(
            """
            import time
            import jwt
            from app import Base, app, audit_log, engine
            from fastapi.testclient import TestClient
            from sqlalchemy.orm import Session

            with engine.begin() as connection:
                Base.metadata.create_all(connection)
                audit_log.install(connection)
            client = TestClient(app)

            def post(title, key="k" * 32, **claims):
                token = jwt.encode(claims, key, "HS256")
                return client.post(f"/articles/{title}", headers={"Authorization": f"Bearer {token}"}).status_code

            later = int(time.time()) + 60
            print(post("one", sub="7", exp=later), post("two", sub="8", exp=later))
            print(post("forged", "x" * 32, sub="7", exp=later), post("old", sub="7", exp=1), post("any", exp=later))
            with Session(engine) as session:
                found = session.scalars(audit_log.activities()).all()
                print([(each.after.title, each.transaction.actor_id) for each in found])
            """
        )
    )
    assert python(tmp_path, database, "use.py", JWT_KEY="k" * 32).splitlines() == [
        "200 200",
        "401 401 401",
        "[('two', 8), ('one', 7)]",
    ]


def test_celery(database: URL, tmp_path: Path) -> None:
    write_files("frameworks", "celery", tmp_path)
    url = database.render_as_string(hide_password=False)
    with redis(tmp_path) as broker:
        environment = {"DATABASE_URL": url, "BROKER_URL": broker}
        with worker("tasks", tmp_path, "--concurrency", "2", **environment):
            assert python(tmp_path, database, "use.py", BROKER_URL=broker) == PRINTED["Celery"]


def test_sqlmodel(database: URL, tmp_path: Path) -> None:
    write_files("frameworks", "sqlmodel", tmp_path)
    assert python(tmp_path, database, "-W", "error", "app.py") == PRINTED["SQLModel"]


def test_sqlmodel_knows_its_models_by_name(database: URL, tmp_path: Path) -> None:
    write_files("frameworks", "sqlmodel", tmp_path)
    source = (tmp_path / "app.py").read_text()
    assert "actor_cls=User" in source
    (tmp_path / "app.py").write_text(source.replace("actor_cls=User", 'actor_cls="User"'))
    assert python(tmp_path, database, "app.py") == PRINTED["SQLModel"]


def flask_environment(database: URL) -> dict[str, str]:
    return {
        "FLASK_SQLALCHEMY_DATABASE_URI": database.render_as_string(hide_password=False),
        "FLASK_SECRET_KEY": "s" * 32,
        "FLASK_SECURITY_PASSWORD_SALT": "salt" * 8,
        "FLASK_SECURITY_PASSWORD_HASH": "pbkdf2_sha512",
        "FLASK_WTF_CSRF_ENABLED": "false",
    }


def test_dataclasses_of_flask_sqlalchemy(database: URL, tmp_path: Path) -> None:
    write_files("frameworks", "dataclasses", tmp_path)
    printed = python(tmp_path, database, "app.py", **flask_environment(database))
    assert printed == PRINTED["Flask-SQLAlchemy with dataclasses"]


def test_flask_security(database: URL, tmp_path: Path) -> None:
    write_files("frameworks", "security", tmp_path)
    (tmp_path / "use.py").write_text(
        dedent(
            """
            from app import Article, User, app, audit_logger, datastore, db
            from flask_security import hash_password

            with app.app_context():
                db.create_all()
                audit_logger.install(db.session)
                for name in ("ann", "ben"):
                    datastore.create_user(email=f"{name}@example.com", password=hash_password("secret-" + name))
                datastore.create_role(name="editor")
                db.session.commit()

            def log_in(name):
                client = app.test_client()
                answer = client.post(
                    "/login?include_auth_token",
                    json={"email": f"{name}@example.com", "password": f"secret-{name}"},
                )
                return client, answer.json["response"]["user"]["authentication_token"]

            ann, _ = log_in("ann")
            _, token = log_in("ben")
            print(ann.post("/articles/session").status_code)
            print(app.test_client().post("/articles/token", headers={"Authentication-Token": token}).status_code)
            print(app.test_client().post("/articles/nobody", headers={"Accept": "application/json"}).status_code)
            with app.app_context():
                for each in db.session.scalars(audit_logger.activities(table=Article)):
                    print(each.after.title, each.transaction.actor.email)
                user = next(iter(db.session.scalars(audit_logger.activities(table=User))))
                print(user.changed_data["email"], user.masked, "secret" in str(user.changed_data))
                print(audit_logger.check(db.session))
            """
        )
    )
    assert python(tmp_path, database, "use.py", **flask_environment(database)).splitlines() == [
        "200",
        "200",
        "401",
        "token ben@example.com",
        "session ann@example.com",
        "ben@example.com ['fs_uniquifier', 'password'] False",
        "[]",
    ]
