"""Tasks of Celery name whoever queued them, in real workers on a real broker."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import json
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from audit_core import AuditLog, ContextError, audit_context
from audit_core.celery import HEADER, setup, teardown
from celery import Celery, chain, chord, group, signals
from celery.exceptions import Retry
from flask import Flask
from flask_audit_logger import AuditLogger
from flask_login import LoginManager, UserMixin, login_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import URL, Engine, MetaData, create_engine
from sqlalchemy.orm import make_transient_to_detached

from tests.frameworks import celery_app as tasks
from tests.frameworks.conftest import Base, audit_log, recorded
from tests.frameworks.programs import redis, worker

APP = "tests.frameworks.celery_app"
#: What a task may take; nothing depends on it but when a test gives up.
PATIENCE = 60
POOLS = ["prefork", "solo", "threads"]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("celery")


@pytest.fixture(scope="module")
def broker(directory: Path) -> Iterator[str]:
    with redis(directory) as url:
        tasks.app.conf.update(broker_url=url, result_backend=url)
        yield url
        gc.collect()  # a result that is forgotten tells the broker so
        tasks.app.pool.force_close_all()


@pytest.fixture(scope="module")
def engine(module_database: URL) -> Iterator[Engine]:
    engine = create_engine(module_database)
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        audit_log.install(connection)
    audit_log.attach(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module", params=POOLS)
def pool(request: pytest.FixtureRequest, engine: Engine, broker: str, directory: Path) -> Iterator[str]:
    """A worker that runs all tasks in one process or thread, one after the other."""
    database = engine.url.render_as_string(hide_password=False)
    options = ("--pool", request.param, "--concurrency", "1", "--prefetch-multiplier", "1")
    with worker(APP, directory, *options, TASKS_DATABASE=database, TASKS_BROKER=broker):
        yield request.param


def done(result: Any) -> Any:
    return result.get(timeout=PATIENCE)


def named(engine: Engine, name: str) -> dict[str, tuple[str | None, str | None, dict[str, Any]]]:
    """Return actor, address and meta without the id, of the items whose name begins so, by the rest of the name."""
    found = {}
    for each, (actor, address, meta) in recorded(engine).items():
        if each.startswith(name):
            assert uuid.UUID(meta.pop("job_id"))
            found[each.removeprefix(name).strip()] = (actor, address, meta)
    return found


def job(name: str, **meta: Any) -> dict[str, Any]:
    return {"job": f"{APP}.{name}", **meta}


def test_what_one_task_says_is_never_that_of_the_next(engine: Engine, pool: str) -> None:
    """Also after errors, retries, and contexts that were not left."""
    places = set()
    ways = [tasks.write.s, tasks.fail.s, tasks.leave.s, tasks.write_again.s]
    for number, way in enumerate(ways):
        with audit_context(actor_id=f"ann {number}", client_addr="10.0.0.7", reason="because"):
            first = way(f"{pool} by {number}").delay()
        with contextlib.suppress(ZeroDivisionError):
            done(first)
        places.add(done(tasks.write.delay(f"{pool} after {number}")))
        with audit_context(actor_id=None):
            places.add(done(tasks.write.delay(f"{pool} of nobody {number}")))
        with audit_context(actor_id="ben"):
            places.add(done(tasks.write.delay(f"{pool} of ben {number}")))
    assert len(places) == 1  # all of it in one process and thread
    found = named(engine, pool)
    why = {"reason": "because"}
    assert found == {
        **{f"by {n}": (f"ann {n}", "10.0.0.7", job(name, **why)) for n, name in ((0, "write"), (1, "fail"))},
        "by 2": ("left behind", "10.0.0.7", job("leave", reason="left behind")),
        **{f"by 3 {retry}": ("ann 3", "10.0.0.7", job("write_again", **why)) for retry in range(3)},
        **{f"after {n}": (None, None, job("write")) for n in range(4)},
        **{f"of nobody {n}": (None, None, job("write")) for n in range(4)},
        **{f"of ben {n}": ("ben", None, job("write")) for n in range(4)},
    }


def test_what_follows_from_a_task_is_of_who_queued_the_first(engine: Engine, pool: str) -> None:
    name = f"canvas {pool}"
    with audit_context(actor_id="ann"):
        results = [
            chain(tasks.write.si(f"{name} chain 1"), tasks.write.si(f"{name} chain 2")).delay(),
            chord([tasks.write.si(f"{name} header 1"), tasks.write.si(f"{name} header 2")])(
                tasks.write.si(f"{name} body")
            ),
            group(tasks.write.si(f"{name} group 1"), tasks.write.si(f"{name} group 2")).delay(),
            tasks.replace.delay(f"{name} replaced"),
        ]
        followed = tasks.write.apply_async((f"{name} first",), link=tasks.write.si(f"{name} link"))
        queued = tasks.queue.delay(f"{name} more")
    for result in (*results, followed, queued):
        done(result)
        for child in result.children or ():
            done(child)
    found = {each: actor for each, (actor, _, _) in named(engine, name).items()}
    assert found.pop("more for other") == "other"
    assert found == dict.fromkeys(
        [
            *(f"{each} {number}" for each in ("chain", "header", "group", "replaced") for number in (1, 2)),
            *("body", "first", "link", "more queued"),
        ],
        "ann",
    )


def test_a_task_queued_by_name_is_one_like_others(engine: Engine, pool: str) -> None:
    with audit_context(actor_id="ann"):
        done(tasks.app.send_task(f"{APP}.write", [f"name {pool}"], headers={"own": "1"}))
    assert named(engine, f"name {pool}") == {"": ("ann", None, job("write"))}


@pytest.mark.parametrize("how", ["prefork", "threads"])
def test_tasks_at_once_keep_their_contexts_apart(engine: Engine, broker: str, tmp_path: Path, how: str) -> None:
    database = engine.url.render_as_string(hide_password=False)
    options = ("--pool", how, "--concurrency", "4", "--queues", how)
    expected = {str(number): f"user {number}" if number % 3 else None for number in range(60)}
    with worker(APP, tmp_path, *options, TASKS_DATABASE=database, TASKS_BROKER=broker):
        results = []
        for name, actor_id in expected.items():
            with audit_context(actor_id=actor_id) if actor_id else contextlib.nullcontext():
                results.append(tasks.write.apply_async((f"{how} at once {name}",), queue=how))
        places = {done(result) for result in results}
    assert len(places) > 1
    assert {name: actor for name, (actor, _, _) in named(engine, f"{how} at once").items()} == expected


@pytest.mark.parametrize("actor_id", [7, "7", uuid.UUID(int=7), 2**80, "ann ☃", None])
def test_the_actor_keeps_its_type(pool: str, actor_id: Any) -> None:
    with audit_context(actor_id=actor_id, at=dt.datetime(2026, 11, 1), price=Decimal("1.5")):
        assert done(tasks.who.delay()) == [type(actor_id).__name__, str(actor_id)]


def test_nobody_is_somebody_else_than_one_that_is_not_known(pool: str) -> None:
    """In the worker, its resolvers are asked only for the second."""
    assert done(tasks.who.delay()) == ["_Unset", "UNSET"]


@pytest.mark.parametrize("header", ["", "[]", "{}", '{"meta": 1}', '{"meta": {}, "actor_id": {"uuid": "?"}}', 7])
def test_a_header_that_cannot_be_read_lets_no_write_pass_without_its_actor(
    engine: Engine, pool: str, header: Any
) -> None:
    name = f"forged {pool} {header}"
    queued = Celery.send_task(tasks.app, f"{APP}.write", [name], headers={HEADER: header})
    with pytest.raises(ContextError, match=f"The header 'audit_context' of the task '{APP}.write' cannot be read"):
        done(queued)
    done(tasks.write.delay(f"{name} after"))
    assert named(engine, name) == {"after": (None, None, job("write"))}


def test_an_eager_task_runs_in_the_context_around_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "engine", engine, raising=False)
    with audit_context(actor_id="ann", client_addr="10.0.0.7"):
        tasks.write.apply(("eager 1",))
        tasks.fail.apply(("eager 2",))
        tasks.leave.apply(("eager 3",))
        tasks.write_again.apply(("eager 4",))
        chain(tasks.write.si("eager 5"), tasks.write.si("eager 6")).apply()
        assert isinstance(tasks.write("called"), str)
    tasks.write.apply(("eager 7",))
    called = recorded(engine)["called"]
    assert called == ("ann", "10.0.0.7", {})
    ann = ("ann", "10.0.0.7")
    assert named(engine, "eager") == {
        "1": (*ann, job("write")),
        "2": (*ann, job("fail")),
        "3": ("left behind", "10.0.0.7", job("leave", reason="left behind")),
        **{f"4 {retry}": (*ann, job("write_again")) for retry in range(3)},
        "5": (*ann, job("write")),
        "6": (*ann, job("write")),
        "7": (None, None, job("write")),
    }


@pytest.fixture
def app() -> Iterator[Celery]:
    """An app whose messages stay in memory."""
    app = Celery("other", broker="memory://", backend="cache+memory://", set_as_current=False)
    yield app
    teardown(app)


@pytest.fixture
def sent() -> Iterator[list[dict[str, Any]]]:
    """The headers of the messages that were sent."""
    found: list[dict[str, Any]] = []

    def keep(headers: dict[str, Any], **_: Any) -> None:
        found.append(headers)

    signals.before_task_publish.connect(keep)
    yield found
    signals.before_task_publish.disconnect(keep)


def test_what_the_resolvers_answer_travels_too(app: Celery, sent: list[dict[str, Any]]) -> None:
    answers: dict[str, Any] = {"actor": 7}
    log = AuditLog(
        MetaData(),
        get_actor_id=lambda: answers["actor"],
        get_client_addr=lambda: "10.0.0.7",
        get_meta=lambda: {"path": "/a"},
    )
    setup(app, log)
    app.send_task("task")
    with audit_context(actor_id=8, client_addr=None, reason="b"):
        app.send_task("task")
    answers["actor"] = None
    app.send_task("task")
    assert [each[HEADER] for each in sent] == [
        '{"meta": {"path": "/a"}, "actor_id": 7, "client_addr": "10.0.0.7"}',
        '{"meta": {"path": "/a", "reason": "b"}, "actor_id": 8, "client_addr": null}',
        '{"meta": {"path": "/a"}, "client_addr": "10.0.0.7"}',
    ]


def test_the_user_of_a_request_to_flask_travels(app: Celery, sent: list[dict[str, Any]]) -> None:
    db = SQLAlchemy()

    class User(UserMixin, db.Model):  # type: ignore[name-defined]
        id = db.Column(db.Integer, primary_key=True)

    flask = Flask(__name__)
    flask.config.update(SECRET_KEY="secret", SQLALCHEMY_DATABASE_URI="postgresql+psycopg://")
    db.init_app(flask)
    LoginManager(flask)
    audit_logger = AuditLogger(db)
    setup(app, audit_logger)
    ann = User(id=7)
    make_transient_to_detached(ann)  # as one that was loaded
    said_by_client = {"headers": {"X-Request-ID": "r1"}, "environ_base": {"REMOTE_ADDR": "10.0.0.7"}}
    with flask.test_request_context("/queue", **said_by_client):
        login_user(ann)
        app.send_task("task")
    with flask.app_context():
        app.send_task("task")
    audit_logger.close()
    first, second = sent
    said = json.loads(first[HEADER])
    assert (said["actor_id"], said["client_addr"]) == (7, "10.0.0.7")
    assert (said["meta"]["path"], said["meta"]["request_id"]) == ("/queue", "r1")
    assert HEADER not in second


def test_apps_do_not_meet_and_there_is_a_way_back(app: Celery, sent: list[dict[str, Any]]) -> None:
    third = Celery("third", broker="memory://", set_as_current=False)
    setup(app)
    setup(app)
    with audit_context(actor_id=7):
        third.send_task("task")
        app.send_task("task")
        teardown(app)
        teardown(app)
        app.send_task("task")
    assert [HEADER in each for each in sent] == [False, True, False]
    assert third.send_task.__func__ is app.send_task.__func__ is Celery.send_task


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"actor_id": 1.5}, "actor_id is 1.5, a float: only an int, a text or a UUID can travel"),
        ({"actor_id": True}, "actor_id is True, a bool"),
        ({"what": object()}, "meta 'what' cannot be stored as JSON"),
    ],
)
def test_what_cannot_travel_is_an_error_of_who_queues(app: Celery, said: dict[str, Any], message: str) -> None:
    setup(app)
    with audit_context(**said), pytest.raises(ContextError, match=message):
        app.send_task("task")


def test_importing_it_registers_nothing_and_twice_is_once() -> None:
    code = """
        from audit_core.celery import setup, teardown
        from celery import Celery, signals
        def show():
            print(len(signals.task_prerun.receivers), len(signals.task_postrun.receivers), end=", ")
        one, other = Celery("one"), Celery("other")
        show()
        for app in (one, one, other):
            setup(app)
        show()
        teardown(one)
        show()
        teardown(other)
        show()
        """
    printed = subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)], text=True)
    assert printed == "0 0, 1 1, 1 1, 0 0, "


def test_a_retry_is_still_one(app: Celery) -> None:
    """Celery knows a retry by its exception, which passes through."""
    setup(app)

    @app.task(bind=True)
    def again(self: Any) -> None:
        raise self.retry(countdown=0)

    with pytest.raises(Retry):
        again.apply(throw=True)
