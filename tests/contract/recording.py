"""The contract: what is recorded, and whose change it is. Every configuration runs it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest
from audit_core import ContextError, audit_context
from sqlalchemy import Connection, delete, event, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.contract.subject import Subject, Trail


def add_article(subject: Subject, **values: Any) -> int:
    with subject.session() as session:
        article = subject.article_cls(**{"title": "old", "body": "text", **values})
        session.add(article)
        session.commit()
        return article.id  # type: ignore[no-any-return]


def sqlstate(error: DBAPIError) -> Any:
    """The SQLSTATE, which drivers call by two names."""
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)


def test_insert_records_the_row(subject: Subject, trail: Trail) -> None:
    key = add_article(subject)
    (activity,) = trail.activities()
    assert activity.verb == "insert"
    assert activity.old_data == {}
    assert activity.changed_data == {"id": key, "title": "old", "body": "text", "details": None}
    assert activity.row_key == str(key)
    assert activity.schema == "public"


def test_update_records_the_old_row_and_what_changed(subject: Subject, trail: Trail) -> None:
    key = add_article(subject)
    with subject.session() as session:
        session.get_one(subject.article_cls, key).title = "new"
        session.commit()
    activity = trail.activities()[-1]
    assert activity.verb == "update"
    assert activity.old_data == {"id": key, "title": "old", "body": "text", "details": None}
    assert activity.changed_data == {"title": "new"}


def test_delete_records_the_row(subject: Subject, trail: Trail) -> None:
    key = add_article(subject)
    with subject.session() as session:
        session.delete(session.get_one(subject.article_cls, key))
        session.commit()
    activity = trail.activities()[-1]
    assert activity.verb == "delete"
    assert activity.old_data == {"id": key, "title": "old", "body": "text", "details": None}
    assert activity.changed_data == {}


def test_truncate_records_how_many_rows_were_lost(subject: Subject, trail: Trail) -> None:
    with subject.session() as session:
        session.execute(delete(subject.article_cls))
        session.execute(insert(subject.article_cls), [{"title": "a"}, {"title": "b"}])
        session.execute(text("TRUNCATE articles CASCADE"))
        session.commit()
    activity = trail.activities()[-1]
    assert (activity.verb, activity.row_key, activity.changed_data) == ("truncate", None, {"rows": 2})


def test_update_without_a_change_records_nothing(subject: Subject, trail: Trail) -> None:
    key = add_article(subject)
    before = trail.transaction_count()
    with subject.session() as session:
        session.execute(update(subject.article_cls).where(subject.article_cls.id == key).values(title="old"))
        session.commit()
    assert trail.verbs() == ["insert"]
    assert trail.transaction_count() == before


def test_reading_leaves_no_transaction_row(subject: Subject, trail: Trail) -> None:
    with audit_context(reason="just looking"), subject.session() as session:
        session.scalars(select(subject.article_cls)).all()
        session.execute(text("SELECT 1"))
        session.commit()
    assert trail.transaction_count() == 0


def test_core_text_and_bulk_statements_are_recorded_with_their_actor(subject: Subject, trail: Trail) -> None:
    actor = subject.add_actor("bulk")
    article = subject.article_cls.__table__
    with audit_context(actor_id=actor), subject.session() as session:
        session.execute(insert(article).values(title="core"))
        session.commit()
        session.execute(text("INSERT INTO articles (title) VALUES ('text')"))
        session.commit()
        session.connection().exec_driver_sql("INSERT INTO articles (title) VALUES ('driver')")
        session.commit()
        session.bulk_insert_mappings(subject.article_cls, [{"title": "bulk"}, {"title": "bulk"}])
        session.commit()
        session.execute(insert(article), [{"title": "many"}, {"title": "many"}])
        session.commit()
        session.add_all([subject.article_cls(title="orm") for _ in range(3)])
        session.commit()
        cte = insert(article).values(title="cte").returning(article.c.id).cte()
        session.execute(select(cte.c.id)).all()
        session.commit()
        session.execute(delete(article).where(article.c.title == "many"))
        session.commit()
    assert trail.verbs() == ["insert"] * 11 + ["delete"] * 2
    assert set(trail.actors()) == {trail.activities()[0].transaction.actor_id}
    assert str(trail.actors()[0]) == str(actor)


def test_without_a_context_there_is_no_actor(subject: Subject, trail: Trail) -> None:
    add_article(subject)
    transaction = trail.activities()[0].transaction
    assert (transaction.actor_id, transaction.client_addr, transaction.meta) == (None, None, None)
    assert transaction.db_user == subject.engine.url.username


def test_context_is_stored(subject: Subject, trail: Trail) -> None:
    actor = subject.add_actor("context")
    with audit_context(actor_id=actor, client_addr="10.1.2.3", reason="'); DROP TABLE articles; --"):
        add_article(subject)
    transaction = trail.activities()[0].transaction
    assert str(transaction.actor_id) == str(actor)
    assert str(transaction.client_addr) == "10.1.2.3"
    assert transaction.meta == {"reason": "'); DROP TABLE articles; --"}


@pytest.mark.parametrize("reason", ["\\u0000", "\\\\u0000", "'", '"', "*/ --", "%s %(x)s :x", "é\u2028\U0001f600\t\n"])
def test_any_text_can_be_a_reason(subject: Subject, trail: Trail, reason: str) -> None:
    with audit_context(reason=reason):
        add_article(subject)
    assert trail.activities()[0].transaction.meta == {"reason": reason}


def test_contexts_nest_and_restore(subject: Subject, trail: Trail) -> None:
    first, second = subject.add_actor("outer"), subject.add_actor("inner")
    with audit_context(actor_id=first, reason="outer"):
        add_article(subject)
        with audit_context(actor_id=second, job=5):
            add_article(subject)
        with audit_context(actor_id=None):
            add_article(subject)
        add_article(subject)
    add_article(subject)
    transactions = [activity.transaction for activity in trail.activities()]
    assert [transaction.meta for transaction in transactions] == [
        {"reason": "outer"},
        {"reason": "outer", "job": 5},
        {"reason": "outer"},
        {"reason": "outer"},
        None,
    ]
    assert [str(actor) for actor in trail.actors()] == [str(first), str(second), "None", str(first), "None"]


def test_two_actors_in_one_transaction_get_two_rows(subject: Subject, trail: Trail) -> None:
    first, second = subject.add_actor("one"), subject.add_actor("two")
    before = trail.transaction_count()
    with subject.session() as session:
        for actor in (first, second, first):
            with audit_context(actor_id=actor):
                session.execute(insert(subject.article_cls).values(title="shared"))
        session.commit()
    assert [str(actor) for actor in trail.actors()] == [str(first), str(second), str(first)]
    assert trail.transaction_count() - before == 2
    assert len({activity.native_transaction_id for activity in trail.activities()}) == 1


def test_an_actor_of_one_transaction_is_not_that_of_the_next(subject: Subject, trail: Trail) -> None:
    actor = subject.add_actor("first")
    with subject.session() as session:
        with audit_context(actor_id=actor):
            session.execute(insert(subject.article_cls).values(title="a"))
            session.commit()
        session.execute(insert(subject.article_cls).values(title="b"))
        session.commit()
    assert [str(actor_id) for actor_id in trail.actors()] == [str(actor), "None"]


def test_context_after_a_savepoint_was_rolled_back(subject: Subject, trail: Trail) -> None:
    """The server forgets a setting that was made within the savepoint."""
    actor = subject.add_actor("savepoint")
    with audit_context(actor_id=actor), subject.session() as session:
        nested = session.begin_nested()
        session.execute(insert(subject.article_cls).values(title="lost"))
        nested.rollback()
        session.execute(insert(subject.article_cls).values(title="kept"))
        session.commit()
    assert [activity.changed_data["title"] for activity in trail.activities()] == ["kept"]
    assert [str(actor_id) for actor_id in trail.actors()] == [str(actor)]


def test_no_context_after_a_savepoint_with_one_was_rolled_back(subject: Subject, trail: Trail) -> None:
    """The setting of before the savepoint is back, and must not be taken for the present one."""
    actor = subject.add_actor("before")
    with subject.session() as session:
        with audit_context(actor_id=actor):
            session.execute(insert(subject.article_cls).values(title="before"))
        nested = session.begin_nested()
        session.execute(insert(subject.article_cls).values(title="lost"))
        nested.rollback()
        session.execute(insert(subject.article_cls).values(title="after"))
        session.commit()
    assert [str(actor_id) for actor_id in trail.actors()] == [str(actor), "None"]


def test_a_rolled_back_transaction_leaves_nothing(subject: Subject, trail: Trail) -> None:
    with audit_context(reason="lost"), subject.session() as session:
        session.add(subject.article_cls(title="lost"))
        session.flush()
        session.rollback()
    assert trail.activities() == []
    assert trail.transaction_count() == 0


def test_an_error_of_the_statement_arrives_as_sqlalchemy_knows_it(subject: Subject, trail: Trail) -> None:
    key = add_article(subject)
    actor = subject.add_actor("error")
    with audit_context(actor_id=actor), subject.session() as session:
        with pytest.raises(IntegrityError), session.begin_nested():
            session.execute(insert(subject.article_cls).values(id=key, title="again"))
        session.execute(insert(subject.article_cls).values(title="next"))
        session.commit()
    assert trail.verbs() == ["insert", "insert"]
    assert str(trail.actors()[-1]) == str(actor)


def test_context_of_a_thread_stays_there(subject: Subject, trail: Trail) -> None:
    actor = subject.add_actor("thread")
    with audit_context(actor_id=actor):
        plain = threading.Thread(target=add_article, args=(subject,))
        plain.start()
        plain.join()
        copied = threading.Thread(target=contextvars.copy_context().run, args=(add_article, subject))
        copied.start()
        copied.join()
    assert [str(actor_id) for actor_id in trail.actors()] == ["None", str(actor)]


def test_context_decorates_functions_and_coroutines(subject: Subject, trail: Trail) -> None:
    actor = subject.add_actor("decorator")

    @audit_context(actor_id=actor, job="nightly")
    def job() -> int:
        return add_article(subject)

    @audit_context(actor_id=actor, job="async")
    async def async_job() -> int:
        await asyncio.sleep(0)
        return add_article(subject)

    job()
    asyncio.run(async_job())
    assert [activity.transaction.meta for activity in trail.activities()] == [
        {"job": "nightly"},
        {"job": "async"},
    ]
    assert [str(actor_id) for actor_id in trail.actors()] == [str(actor)] * 2


@pytest.mark.parametrize("address", ["unix", "10.0.0.1:5000", "10.0.0.300", "not\nan address"])
def test_a_client_address_that_is_none_is_kept_as_text(subject: Subject, trail: Trail, address: str) -> None:
    with audit_context(client_addr=address, reason="odd"):
        add_article(subject)
    transaction = trail.activities()[0].transaction
    assert transaction.client_addr is None
    assert transaction.meta == {"reason": "odd", "client_addr": address}


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ({"client_addr": "10.0.0.1\0"}, "client_addr"),
        ({"actor_id": object()}, "actor_id"),
        ({"actor_id": 2.5}, "actor_id"),
        ({"actor_id": True}, "actor_id"),
        ({"reason": "a\0b"}, "'reason'.*NUL"),
        ({"reason": {"deep": ["a\\\0b"]}}, "'reason'.*NUL"),
        ({"reason": {1, 2}}, "'reason'"),
        ({"reason": float("nan")}, "'reason'"),
        ({"reason": "\ud800"}, "'reason'"),
    ],
)
def test_a_context_that_cannot_be_stored_is_refused_before_anything_is_written(
    subject: Subject, trail: Trail, context: dict[str, Any], said: str
) -> None:
    with audit_context(**context), pytest.raises(ContextError, match=said):
        add_article(subject)
    assert trail.activities() == []


def test_the_settings_are_a_protocol_for_others(subject: Subject, trail: Trail) -> None:
    """Any client that can send SQL can say who it is."""
    actor = subject.add_actor("psql")
    with subject.session() as session:
        connection = session.connection()
        connection.exec_driver_sql(f"SELECT set_config('audit_logger.actor_id', '{actor}', true)")
        connection.exec_driver_sql("INSERT INTO articles (title) VALUES ('psql')")
        session.commit()
    assert [str(actor_id) for actor_id in trail.actors()] == [str(actor)]


def test_settings_that_are_no_context_fail_with_a_hint(subject: Subject, trail: Trail) -> None:
    with subject.session() as session:
        connection = session.connection()
        connection.exec_driver_sql("SELECT set_config('audit_logger.meta', '{', true)")
        with pytest.raises(DBAPIError, match=r"audit_logger\.meta") as failure:
            connection.exec_driver_sql("INSERT INTO articles (title) VALUES ('psql')")
        session.rollback()
    assert sqlstate(failure.value) == "AU002"
    assert trail.activities() == []


def test_disabled_writes_are_not_recorded(subject: Subject, trail: Trail) -> None:
    with subject.session() as session:
        session.add(subject.article_cls(title="pending before the block"))
        with subject.audit_log.disable(session):
            session.add(subject.article_cls(title="hidden"))
            session.execute(insert(subject.article_cls).values(title="hidden"))
            session.add(subject.article_cls(title="pending in the block"))
        session.add(subject.article_cls(title="after"))
        session.commit()
    titles = [activity.changed_data["title"] for activity in trail.activities()]
    assert titles == ["pending before the block", "after"]


def test_that_something_was_not_recorded_is_recorded(subject: Subject, trail: Trail) -> None:
    actor = subject.add_actor("secretive")
    with audit_context(actor_id=actor), subject.session() as session:
        session.execute(delete(subject.article_cls))
        session.commit()
    with audit_context(actor_id=actor), subject.session() as session:
        with subject.audit_log.disable(session, reason="a'); -- rebuild"):
            session.execute(insert(subject.article_cls).values([{"title": "a"}, {"title": "b"}]))
            session.execute(update(subject.article_cls).values(title="c"))
            session.execute(update(subject.article_cls).where(text("false")).values(title="c"))
            session.execute(delete(subject.article_cls).where(subject.article_cls.title == "c"))
            session.execute(text("TRUNCATE articles CASCADE"))
        session.commit()
    assert [(bypass.changed_data["operation"], bypass.changed_data["rows"]) for bypass in trail.bypasses()] == [
        ("insert", 2),
        ("update", 2),
        ("delete", 2),
    ]
    for bypass in trail.bypasses():
        assert bypass.changed_data["reason"] == "a'); -- rebuild"
        assert (bypass.old_data, bypass.row_key) == ({}, None)
        assert str(bypass.transaction.actor_id) == str(actor)


@pytest.mark.parametrize("off", ["off", "OFF", "false", "no", "0"])
def test_switching_off_by_hand_is_recorded_too(subject: Subject, trail: Trail, off: str) -> None:
    with subject.session() as session:
        connection = session.connection()
        connection.exec_driver_sql(f"SELECT set_config('audit_logger.enabled', '{off}', true)")
        connection.exec_driver_sql("INSERT INTO articles (title) VALUES ('psql')")
        session.commit()
    assert trail.activities() == []
    assert [bypass.changed_data for bypass in trail.bypasses()] == [{"operation": "insert", "rows": 1, "reason": None}]


def test_what_was_recorded_cannot_be_changed(subject: Subject, trail: Trail) -> None:
    """Not even by the owner, who would have to take the protection away first."""
    add_article(subject)
    before = trail.verbs()
    for table in (subject.audit_log.activity_cls.__table__, subject.audit_log.transaction_cls.__table__):
        for statement in (
            table.update().values(native_transaction_id=0),
            table.delete(),
            text(f'TRUNCATE "{table.schema}"."{table.name}"'),
        ):
            with subject.session() as session, pytest.raises(DBAPIError) as failure:
                session.execute(statement)
            assert sqlstate(failure.value) == ("AU005" if subject.is_owner else "42501")
    assert trail.verbs() == before


def test_disabled_blocks_nest(subject: Subject, trail: Trail) -> None:
    with subject.session() as session:
        with subject.audit_log.disable(session):
            with subject.audit_log.disable(session):
                session.execute(insert(subject.article_cls).values(title="hidden"))
            session.execute(insert(subject.article_cls).values(title="hidden, too"))
        session.execute(insert(subject.article_cls).values(title="seen"))
        session.commit()
    assert [activity.changed_data["title"] for activity in trail.activities()] == ["seen"]


def test_disabled_block_that_fails_shows_its_own_error(subject: Subject, trail: Trail) -> None:
    key = add_article(subject)
    with subject.session() as session:
        with pytest.raises(IntegrityError), session.begin_nested(), subject.audit_log.disable(session):
            session.execute(insert(subject.article_cls).values(id=key, title="again"))
        session.execute(insert(subject.article_cls).values(title="seen"))
        session.commit()
    assert [activity.changed_data["title"] for activity in trail.activities()] == ["old", "seen"]


def test_disabled_stays_so_after_a_savepoint_was_rolled_back(subject: Subject, trail: Trail) -> None:
    with subject.session() as session:
        with subject.audit_log.disable(session):
            nested = session.begin_nested()
            session.execute(insert(subject.article_cls).values(title="lost"))
            nested.rollback()
            session.execute(insert(subject.article_cls).values(title="hidden"))
        session.commit()
    assert trail.activities() == []


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_disabled_ends_with_its_transaction(subject: Subject, trail: Trail, end: str) -> None:
    with subject.session() as session:
        with subject.audit_log.disable(session):
            session.execute(insert(subject.article_cls).values(title="hidden"))
            getattr(session, end)()
            session.execute(insert(subject.article_cls).values(title="seen"))
        session.execute(insert(subject.article_cls).values(title="seen"))
        session.commit()
    assert [activity.changed_data["title"] for activity in trail.activities()] == ["seen", "seen"]


def test_disabled_in_one_thread_is_not_disabled_in_another(subject: Subject, trail: Trail) -> None:
    actor = subject.add_actor("other thread")

    def write() -> None:
        with audit_context(actor_id=actor):
            add_article(subject, title="seen")

    with subject.session() as session, subject.audit_log.disable(session):
        session.execute(insert(subject.article_cls).values(title="hidden"))
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        session.commit()
    assert [activity.changed_data["title"] for activity in trail.activities()] == ["seen"]
    assert [str(actor_id) for actor_id in trail.actors()] == [str(actor)]


def test_disable_takes_a_connection(subject: Subject, trail: Trail) -> None:
    with subject.session() as session:
        connection: Connection = session.connection()
        with subject.audit_log.disable(connection):
            connection.execute(insert(subject.article_cls.__table__).values(title="hidden"))
        connection.execute(insert(subject.article_cls.__table__).values(title="seen"))
        session.commit()
    assert [activity.changed_data["title"] for activity in trail.activities()] == ["seen"]


def test_data_is_the_row_as_the_change_left_it(subject: Subject, trail: Trail) -> None:
    key = add_article(subject)
    with subject.session() as session:
        session.get_one(subject.article_cls, key).title = "new"
        session.commit()
    expected = {"id": key, "title": "new", "body": "text", "details": None}
    activity = trail.activities()[-1]
    assert activity.data == expected
    activity_cls = subject.audit_log.activity_cls
    with subject.session() as session:
        assert session.scalar(select(activity_cls.data).where(activity_cls.id == activity.id)) == expected
        found = session.scalars(
            select(activity_cls.id).where(
                activity_cls.data["title"].astext == "new",  # type: ignore[index]
                activity_cls.row_key == str(key),
            )
        ).all()
    assert found == [activity.id]


def test_an_actor_can_be_deleted_and_the_trail_keeps_the_id(subject: Subject, trail: Trail) -> None:
    actor = subject.add_actor("leaving")
    with audit_context(actor_id=actor):
        add_article(subject)
    if subject.actor_cls is not None:
        assert trail.activities()[0].transaction.actor.name == "leaving"
        with subject.session() as session:
            session.delete(session.get_one(subject.actor_cls, actor))
            session.commit()
        assert trail.activities()[0].transaction.actor is None
    assert [str(actor_id) for actor_id in trail.actors()] == [str(actor)]


def test_a_value_that_jsonb_cannot_hold_is_marked(subject: Subject, trail: Trail) -> None:
    key = add_article(subject, details={"text": "a\0b"})
    with subject.session() as session:
        assert session.get_one(subject.article_cls, key).details == {"text": "a\0b"}
    assert trail.activities()[0].changed_data == {
        "id": key,
        "title": "old",
        "body": "text",
        "details": {"$unstorable": r'{"text": "a\u0000b"}'},
    }


def test_the_context_shares_a_round_trip_or_comes_before_the_write(subject: Subject, trail: Trail) -> None:
    """One more statement per writing transaction at the most, and none for the second flush."""
    statements: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool) -> None:
        statements.append(statement)

    event.listen(subject.engine, "before_cursor_execute", note)
    try:
        with audit_context(reason="counted"), subject.session() as session:
            session.execute(insert(subject.article_cls).values(title="a"))
            session.execute(insert(subject.article_cls).values(title="b"))
            session.commit()
    finally:
        event.remove(subject.engine, "before_cursor_execute", note)
    assert len(statements) == 2
    assert [activity.transaction.meta for activity in trail.activities()] == [{"reason": "counted"}] * 2
