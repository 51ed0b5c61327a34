"""Apps of one process do not meet: each change is recorded in its own database, with an actor of its own app."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import login_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import insert

from tests.contract.subject import Subject, Trail
from tests.two_apps.conftest import APPS


@dataclass
class Site:
    """An app on the database of a subject, and what is recorded there."""

    app: Flask
    db: SQLAlchemy
    subject: Subject
    trail: Trail

    def add(self, title: str) -> None:
        """Add an article, in whatever context is there."""
        self.db.session.add(self.subject.article_cls(title=title))
        self.db.session.commit()

    def log_in(self, actor: int) -> None:
        login_user(self.db.session.get_one(self.subject.actor_cls, actor))

    def recorded(self) -> list[tuple[str, Any]]:
        """Return title and actor of each article."""
        return [(each.changed_data["title"], each.transaction.actor_id) for each in self.trail.activities()]


@pytest.fixture(params=["own models", "shared models"])
def sites(subjects: dict[str, Subject], request: pytest.FixtureRequest) -> Iterator[tuple[Site, Site]]:
    names = {"own models": ("first", "second"), "shared models": ("shared one", "shared two")}[request.param]
    made = []
    for name in names:
        subject, module = subjects[name], APPS[name]
        app = module.create_app(subject.engine.url)
        made.append(Site(app, module.db, subject, Trail(subject)))
    first, second = made
    yield first, second
    for site in made:
        with site.app.app_context():
            site.db.engine.dispose()


@pytest.fixture
def actors(sites: tuple[Site, Site]) -> tuple[int, int]:
    """Actors of the two apps; neither's key is one of the other app."""
    first, second = sites
    ann = first.subject.add_actor("Ann")
    ben = second.subject.add_actor("Ben")
    while ben <= ann:
        ben = second.subject.add_actor("Ben")
    return ann, ben


def test_each_request_is_recorded_by_its_own_app(sites: tuple[Site, Site], actors: tuple[int, int]) -> None:
    first, second = sites
    clients = [site.app.test_client() for site in sites]
    for client, actor in zip(clients, actors, strict=True):
        client.post(f"/login/{actor}")
    for number in range(2):
        for client in clients:
            client.post("/articles", data={"title": str(number)})
    assert first.recorded() == [("0", actors[0]), ("1", actors[0])]
    assert second.recorded() == [("0", actors[1]), ("1", actors[1])]


def test_contexts_of_two_apps_nest(sites: tuple[Site, Site], actors: tuple[int, int]) -> None:
    first, second = sites
    with first.app.test_request_context():
        first.log_in(actors[0])
        first.add("before")
        with second.app.test_request_context():
            second.log_in(actors[1])
            second.add("inside")
        first.add("after")
    assert first.recorded() == [("before", actors[0]), ("after", actors[0])]
    assert second.recorded() == [("inside", actors[1])]


def test_a_request_to_the_other_app_may_be_made_from_within_one(
    sites: tuple[Site, Site], actors: tuple[int, int]
) -> None:
    first, second = sites
    client = second.app.test_client()
    client.post(f"/login/{actors[1]}")
    with first.app.test_request_context():
        first.log_in(actors[0])
        first.db.session.execute(insert(first.subject.article_cls).values(title="open"))
        client.post("/articles", data={"title": "inner"})
        first.db.session.execute(insert(first.subject.article_cls).values(title="still open"))
        first.db.session.commit()
    assert first.recorded() == [("open", actors[0]), ("still open", actors[0])]
    assert second.recorded() == [("inner", actors[1])]


def test_the_user_of_one_app_is_no_actor_of_the_other(sites: tuple[Site, Site], actors: tuple[int, int]) -> None:
    """Whoever uses a connection of an app while the other app serves a request is nobody to the former."""
    first, second = sites
    with (
        first.app.app_context(),
        first.db.engine.begin() as connection,
        second.app.test_request_context(environ_base={"REMOTE_ADDR": "192.0.2.7"}),
    ):
        second.log_in(actors[1])
        connection.execute(insert(first.subject.article_cls).values(title="from elsewhere"))
    assert first.recorded() == [("from elsewhere", None)]
    assert first.trail.activities()[0].transaction.client_addr is None


def test_threads_that_serve_two_apps(sites: tuple[Site, Site], actors: tuple[int, int]) -> None:
    barrier = threading.Barrier(2)

    def serve(site: Site, actor: int) -> None:
        with site.app.test_request_context():
            site.log_in(actor)
            for number in range(20):
                barrier.wait(timeout=30)
                site.add(str(number))

    threads = [threading.Thread(target=serve, args=pair) for pair in zip(sites, actors, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for site, actor in zip(sites, actors, strict=True):
        assert site.recorded() == [(str(number), actor) for number in range(20)]


@pytest.fixture
def new_app(subjects: dict[str, Subject]) -> Iterator[Callable[..., tuple[Flask, SQLAlchemy]]]:
    """Make apps on the database of the first one; of its own tables they know the articles."""
    made: list[tuple[Flask, SQLAlchemy]] = []

    def make(db: SQLAlchemy | None = None) -> tuple[Flask, SQLAlchemy]:
        if db is None:
            db = SQLAlchemy()
            db.Table("articles", db.Column("title", db.Text), info={"versioned": {}})
        app = Flask("new")
        app.config["SQLALCHEMY_DATABASE_URI"] = subjects["first"].engine.url
        db.init_app(app)
        made.append((app, db))
        return app, db

    yield make
    for app, db in made:
        with app.app_context():
            db.engine.dispose()


def insert_article(app: Flask, db: SQLAlchemy, title: str) -> None:
    with app.app_context():
        db.session.execute(db.metadata.tables["articles"].insert().values(title=title))
        db.session.commit()


def reasons(subject: Subject, trail: Trail) -> list[Any]:
    return [(each.transaction.meta or {}).get("site") for each in trail.activities()]


def test_closing_a_logger_detaches_it_from_all_its_apps_and_no_other(
    subjects: dict[str, Subject], new_app: Callable[..., tuple[Flask, SQLAlchemy]]
) -> None:
    trail = Trail(subjects["first"])
    one, shared = new_app()
    two, _ = new_app(shared)
    three, other = new_app()
    closed = AuditLogger(shared, actor_cls=None, get_meta=lambda: {"site": "shared"})
    AuditLogger(other, actor_cls=None, get_meta=lambda: {"site": "other"})
    everywhere = [(one, shared), (two, shared), (three, other)]
    for app, db in everywhere:
        insert_article(app, db, "attached")
    closed.close()
    later, _ = new_app(shared)
    for app, db in [*everywhere, (later, shared)]:
        insert_article(app, db, "closed")
    assert reasons(subjects["first"], trail) == ["shared", "shared", "other", None, None, "other", None]


def test_apps_are_attached_whenever_they_are_made(
    subjects: dict[str, Subject], new_app: Callable[..., tuple[Flask, SQLAlchemy]]
) -> None:
    trail = Trail(subjects["first"])
    before, db = new_app()
    current, _ = new_app(db)
    with current.app_context():
        logger = AuditLogger(db, actor_cls=None, get_meta=lambda: {"site": "seen"})
        db.session.execute(db.metadata.tables["articles"].insert().values(title="the current app"))
        db.session.commit()
    after, _ = new_app(db)
    for app in (before, after):
        insert_article(app, db, "another app")
    logger.close()
    assert reasons(subjects["first"], trail) == ["seen"] * 3
