"""What the trail costs on the wire, counted between the driver and the server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from audit_core import audit_context
from sqlalchemy import URL, create_engine, func, insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.wire.app import Article, audit_log
from tests.wire.clients import DRIVERS, application
from tests.wire.proxy import Message, Proxy, Recording

Work = Callable[[Session], object]

# Some are counted without a trail, and nobody has forgotten to attach one.
pytestmark = pytest.mark.filterwarnings("ignore:What audit_context says:audit_core.ContextWarning")

# psycopg prepares a statement at its sixth execution, asyncpg at the first.
WARMED_UP = 7


def insert_and_commit(session: Session) -> None:
    session.add(Article(title="one"))
    session.commit()


def flush_three_times(session: Session) -> None:
    for title in ("one", "two", "three"):
        session.add(Article(title=title))
        session.flush()
    session.commit()


def insert_and_roll_back(session: Session) -> None:
    session.add(Article(title="one"))
    session.flush()
    session.rollback()


def read_and_insert(session: Session) -> None:
    session.scalars(select(Article).limit(1)).all()
    insert_and_commit(session)


def write_in_bulk(session: Session) -> None:
    session.execute(insert(Article), [{"title": str(number)} for number in range(50)])
    session.commit()


def write_in_a_savepoint(session: Session) -> None:
    with session.begin_nested():
        session.add(Article(title="one"))
    session.add(Article(title="two"))
    session.commit()


def write_by_text(session: Session) -> None:
    session.execute(text("INSERT INTO articles (title) VALUES ('one')"))
    session.commit()


WRITING: list[Work] = [
    insert_and_commit,
    flush_three_times,
    insert_and_roll_back,
    read_and_insert,
    write_in_bulk,
    write_in_a_savepoint,
    write_by_text,
]


def read_with_the_orm(session: Session) -> None:
    session.scalars(select(Article).where(Article.title.like("o%")).limit(3)).all()
    session.commit()


def read_with_core(session: Session) -> None:
    table = Article.__table__
    session.execute(select(func.count(), func.max(table.c.id)).select_from(table).where(func.length(table.c.title) > 1))
    session.commit()


def read_and_lock(session: Session) -> None:
    session.scalars(select(Article).limit(1).with_for_update()).all()
    session.rollback()


def read_in_a_savepoint(session: Session) -> None:
    with session.begin_nested():
        session.scalar(select(Article.id).limit(1))
    session.commit()


def do_nothing(session: Session) -> None:
    session.connection()
    session.commit()


READING: list[Work] = [read_with_the_orm, read_with_core, read_and_lock, read_in_a_savepoint, do_nothing]


def conversations(
    url: URL, proxy: Proxy, driver: str, work: Work, *, attached: bool, count: int = WARMED_UP + 3
) -> list[Recording]:
    """Do some work several times on one connection, each time with another actor, and record each."""
    recordings = []
    with application(url, driver, attached=attached) as in_session:
        for number in range(count):
            with audit_context(actor_id=f"actor {number}", reason="counted"), proxy.recorded() as recording:
                in_session(work)
            recordings.append(recording)
    return recordings


def round_trips(recordings: list[Recording]) -> list[int]:
    return [recording.round_trips for recording in recordings]


def test_an_insert_through_psycopg_takes_a_round_trip_less_than_unaudited(proxied: URL, proxy: Proxy) -> None:
    """BEGIN, which the driver sends by itself and waits for, goes along with the context."""
    plain = conversations(proxied, proxy, "psycopg", insert_and_commit, attached=False, count=3)
    audited = conversations(proxied, proxy, "psycopg", insert_and_commit, attached=True, count=3)
    assert (round_trips(plain), round_trips(audited)) == ([3, 3, 3], [2, 2, 2])
    assert all("set_config" in "".join(recording.statements) for recording in audited)


def test_a_transaction_begins_as_the_application_wants_it(proxied: URL, proxy: Proxy) -> None:
    """The driver knows how, so it sends BEGIN itself, and with it the round trip is back."""
    engine = create_engine(proxied.set(drivername="postgresql+psycopg"), isolation_level="REPEATABLE READ")
    audit_log.attach(engine)
    isolation = text("SELECT current_setting('transaction_isolation')")
    with engine.connect() as connection:
        for _ in range(2):
            with audit_context(actor_id="ann"), proxy.recorded() as recording:
                connection.execute(insert(Article).values(title="one"))
                found = connection.scalar(isolation)
                connection.commit()
            assert found == "repeatable read"
        assert recording.round_trips == 4
        assert any("BEGIN ISOLATION LEVEL REPEATABLE READ" in each for each in recording.statements)
    audit_log.detach(engine)
    engine.dispose()


def test_a_statement_that_fails_ends_only_its_transaction(proxied: URL) -> None:
    """The transaction began with the statement that failed."""
    with application(proxied, "psycopg") as in_session:

        def fail(session: Session) -> None:
            with pytest.raises(DBAPIError, match="division by zero"):
                session.execute(text("INSERT INTO articles (title) VALUES (1 / 0)"))
            with pytest.raises(DBAPIError, match="current transaction is aborted"):
                session.connection().exec_driver_sql("SELECT 1")
            session.rollback()
            session.add(Article(title="after"))
            session.rollback()

        def count(session: Session) -> int | None:
            return session.scalar(select(func.count()).select_from(Article))

        before = in_session(count)
        with audit_context(actor_id="ann"):
            in_session(fail)
            in_session(insert_and_commit)
        assert in_session(count) == (before or 0) + 1


@pytest.mark.parametrize("work", WRITING, ids=lambda work: work.__name__)
def test_psycopg_makes_no_further_round_trip(proxied: URL, proxy: Proxy, work: Work) -> None:
    """Not in the first transaction, nor in the one in which the driver prepares the statement."""
    plain = round_trips(conversations(proxied, proxy, "psycopg", work, attached=False))
    audited = round_trips(conversations(proxied, proxy, "psycopg", work, attached=True))
    assert [more for more in map(int.__sub__, audited, plain) if more > 0] == []


@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if driver != "psycopg"])
@pytest.mark.parametrize("work", WRITING, ids=lambda work: work.__name__)
def test_other_drivers_make_one_round_trip_more_per_writing_transaction(
    proxied: URL, proxy: Proxy, driver: str, work: Work
) -> None:
    """However often it flushes. Preparing the statement takes a driver another two, once per connection."""
    plain = round_trips(conversations(proxied, proxy, driver, work, attached=False))
    audited = round_trips(conversations(proxied, proxy, driver, work, attached=True))
    assert max(map(int.__sub__, audited[WARMED_UP:], plain[WARMED_UP:])) <= 1
    assert sum(audited) - sum(plain) <= len(audited) + 2


def test_in_autocommit_psycopg_makes_one_round_trip_more_and_says_nothing_after_the_end(
    proxied: URL, proxy: Proxy
) -> None:
    """A message that comes after the transaction would take a connection of PgBouncer, and keep it."""
    engine = create_engine(proxied.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    audit_log.attach(engine)
    recordings = []
    for actor in (None, "ann"):
        with engine.connect() as connection, audit_context(actor_id=actor), proxy.recorded() as recording:
            connection.execute(insert(Article).values(title="one"))
        recordings.append(recording)
    audit_log.detach(engine)
    engine.dispose()
    plain, audited = recordings
    assert (plain.round_trips, audited.round_trips) == (1, 2)
    assert audited.messages[-1] == Message("Query", "COMMIT")


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("work", READING, ids=lambda work: work.__name__)
def test_a_transaction_that_only_reads_sends_nothing_of_the_trail(
    proxied: URL, proxy: Proxy, driver: str, work: Work
) -> None:
    plain = conversations(proxied, proxy, driver, work, attached=False)
    audited = conversations(proxied, proxy, driver, work, attached=True)
    assert round_trips(audited) == round_trips(plain)
    assert [recording.messages for recording in audited] == [recording.messages for recording in plain]
    assert not any("set_config" in statement for recording in audited for statement in recording.statements)


@pytest.mark.parametrize("driver", DRIVERS)
def test_without_anything_to_say_nothing_is_sent(proxied: URL, proxy: Proxy, driver: str) -> None:
    with application(proxied, driver) as in_session, proxy.recorded() as recording:
        in_session(flush_three_times)
    assert not any("set_config" in statement for statement in recording.statements)


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_context_is_sent_once_per_transaction_and_again_when_it_changes(
    proxied: URL, proxy: Proxy, driver: str
) -> None:
    def write(session: Session) -> None:
        for actor in ("ann", "ann", "ben", "ben", "ann"):
            with audit_context(actor_id=actor):
                session.execute(insert(Article).values(title="x"))
        session.commit()

    with application(proxied, driver) as in_session, proxy.recorded() as recording:
        in_session(write)
    if driver == "psycopg2":
        sent = [statement for statement in recording.statements if "set_config" in statement]
        assert ["'ann'" in statement for statement in sent] == [True, False, True]
    else:
        assert [value for value in recording.values if value in (b"ann", b"ben")] == [b"ann", b"ben", b"ann"]


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_context_is_sent_again_after_a_savepoint_was_rolled_back_and_not_after_one_that_was_kept(
    proxied: URL, proxy: Proxy, driver: str
) -> None:
    def write(session: Session) -> None:
        session.execute(insert(Article).values(title="sends"))
        with session.begin_nested():
            session.execute(insert(Article).values(title="does not"))
        session.execute(insert(Article).values(title="does not"))
        nested = session.begin_nested()
        session.execute(insert(Article).values(title="does not"))
        nested.rollback()
        session.execute(insert(Article).values(title="sends"))
        session.execute(insert(Article).values(title="does not"))
        session.commit()

    with (
        audit_context(actor_id="savepoints"),
        application(proxied, driver) as in_session,
        proxy.recorded() as recording,
    ):
        in_session(write)
    everything = "".join(recording.statements) + repr(recording.values)
    assert everything.count("savepoints") == 2
