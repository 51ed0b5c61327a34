"""What an application says about a change is stored exactly or refused, and is never part of the SQL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from audit_core import ContextError, audit_context
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, Text, cast, create_engine, insert, literal, select
from sqlalchemy import text as sql_text
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.orm import Session

from tests.wire.app import Activity, Article, Transaction, audit_log
from tests.wire.clients import DRIVERS, application
from tests.wire.proxy import Proxy, Recording

# A literal as PostgreSQL reads it; psycopg2 writes E before those with a backslash, and a space before that.
LITERAL = re.compile(r"\s*(?:\bE'(?:[^'\\]|''|\\.)*'|'(?:[^']|'')*')", re.DOTALL)

HOSTILE = {
    "quotes": "'\"'';''",
    "injection": "', true); DROP TABLE articles; --",
    "comment": "*/ /* -- */",
    "newlines": "a\nb\r\nc\u2028d",
    "backslashes": "\\' \\\\' \\x00 \\u0000 E'\\'",
    "dollars": "$$ $1 $audit_logger$",
    "placeholders": "%s %(reason)s %% :reason ? {}",
    "other alphabets": "é Ω 名 \U0001f600 \x7f\x01",
    "braces and commas": '{"a": [1, 2]}',
    "1 MB": "x'\\\n" * (1 << 18),
}


def store(session: Session) -> None:
    session.execute(insert(Article).values(title="hostile"))
    session.commit()


def last_transaction(session: Session) -> tuple[Any, ...]:
    """Return actor_id, client_addr and meta of the last recorded change."""
    query = (
        select(Transaction.actor_id, cast(Transaction.client_addr, Text), Transaction.meta)
        .join(Activity, Activity.transaction_id == Transaction.id)
        .order_by(Activity.id.desc())
        .limit(1)
    )
    return tuple(session.execute(query).one())


def said(url: URL, proxy: Proxy, driver: str, value: str) -> tuple[Recording, tuple[Any, ...]]:
    """Put a value in every place there is; return what passed and what was stored."""
    with application(url, driver) as in_session:
        # An actor's key cannot be as long as the rest.
        context = audit_context(actor_id=value[:1000], client_addr=value, reason=value)
        with context, proxy.recorded() as recording:
            in_session(store)
        return recording, in_session(last_transaction)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("driver", [driver for driver in DRIVERS if driver != "psycopg2"])
def test_drivers_that_bind_send_no_value_within_sql(proxied: URL, proxy: Proxy, driver: str, value: str) -> None:
    recording, stored = said(proxied, proxy, driver, value)
    assert stored == (value[:1000], None, {"reason": value, "client_addr": value})
    harmless, _ = said(proxied, proxy, driver, "harmless")
    assert recording.statements == harmless.statements
    assert recording.values.count(value.encode()) == (2 if value == value[:1000] else 1)
    assert [json.loads(bound) for bound in recording.values if b'"reason"' in bound] == [{"reason": value}]


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_psycopg2_which_binds_in_the_client_keeps_values_within_literals(
    proxied: URL, proxy: Proxy, value: str
) -> None:
    recording, stored = said(proxied, proxy, "psycopg2", value)
    assert stored == (value[:1000], None, {"reason": value, "client_addr": value})
    harmless, _ = said(proxied, proxy, "psycopg2", "harmless")
    outside = [LITERAL.sub("?", statement) for statement in recording.statements]
    assert outside == [LITERAL.sub("?", statement) for statement in harmless.statements]
    assert any("set_config(?,?, true)" in statement for statement in outside)


def test_an_actor_that_is_too_long_for_a_key_is_refused_before_anything_is_sent(proxied: URL, proxy: Proxy) -> None:
    with (
        application(proxied, "psycopg") as in_session,
        audit_context(actor_id="é" * 501),
        proxy.recorded() as recording,
        pytest.raises(ContextError, match=r"actor_id is 'ééé.* more than 1000 bytes"),
    ):
        in_session(store)
    assert recording.messages == []


def test_the_server_refuses_it_too(proxied: URL) -> None:
    with application(proxied, "psycopg", attached=False) as in_session:

        def write(session: Session) -> None:
            session.execute(sql_text("SELECT set_config('audit_logger.actor_id', repeat('x', 1001), true)"))
            store(session)

        with pytest.raises(DBAPIError) as refused:
            in_session(write)
        assert getattr(refused.value.orig, "sqlstate", None) == "AU001"


@pytest.fixture(scope="module", params=["psycopg", "psycopg2"])
def engine(proxied: URL, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine behind the proxy with a connection that is ready."""
    engine = create_engine(proxied.set(drivername=f"postgresql+{request.param}"), pool_size=1, max_overflow=0)
    audit_log.attach(engine)
    with engine.connect() as connection:
        connection.scalar(select(1))
    yield engine
    audit_log.detach(engine)
    engine.dispose()


def stored_or_refused(engine: Engine, proxy: Proxy, **context: Any) -> tuple[Any, ...] | None:
    """Write with a context and return what was stored; None if it was refused before anything was sent."""
    with Session(engine) as session:
        with audit_context(**context), proxy.recorded() as recording:
            try:
                store(session)
            except ContextError:
                assert recording.messages == []
                return None
        return last_transaction(session)


fuzzed = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

#: All characters, so with NUL and halves of surrogate pairs; both more often than by chance.
texts = st.text(st.characters() | st.sampled_from("\0\ud800\udfff'\"\\\n%u0"))
not_json: st.SearchStrategy[Any] = st.sampled_from([object(), {1, 2}, 1j, float("nan"), float("inf"), Exception, print])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.binary(max_size=3) | not_json
values = st.recursive(
    scalars,
    lambda children: (
        st.lists(children, max_size=4)
        | st.tuples(children, children)
        | st.dictionaries(texts | st.integers() | st.booleans() | st.none(), children, max_size=4)
    ),
    max_leaves=12,
)
# audit_context() takes these for something else, or refuses them.
NOT_META = ("actor", "actor_id", "client_addr", "self")
metas = st.dictionaries(texts.filter(lambda key: key not in NOT_META), values, max_size=4)


def is_text(value: str) -> bool:
    """Return whether PostgreSQL can store a text."""
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def as_json(meta: dict[str, Any]) -> Any:
    """Return what a trip through JSON makes of some meta data; raises ValueError if it cannot be stored."""
    try:
        result = json.loads(json.dumps(meta, allow_nan=False))
    except TypeError as error:
        raise ValueError from error
    for text in texts_within(result):
        if not is_text(text):
            raise ValueError(text)
    return result


def texts_within(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from texts_within(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from texts_within(each)


def same(stored: Any, expected: Any) -> bool:
    """Compare as JSON does: true is not 1, and a number is a number however it is written."""
    if isinstance(expected, dict):
        return stored.keys() == expected.keys() and all(same(stored[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(stored) == len(expected) and all(map(same, stored, expected))
    if isinstance(expected, float):
        return not isinstance(stored, bool) and float(stored) == expected
    return type(stored) is type(expected) and bool(stored == expected)


@fuzzed
@given(meta=metas)
@example(meta={"reason": "\\u0000"})
@example(meta={"reason": "\\\0"})
@example(meta={"a\0b": 1})
@example(meta={"\udc00": 1})
@example(meta={"a": {"\0": 1}})
@example(meta={"numbers": [1e308, 5e-324, -0.0, 10**400, 0.1, 1e22]})
@example(meta={"keys": {1: "a", "1": "b", "null": "c", None: "d"}})
@example(meta={"": ""})
def test_meta_is_stored_as_json_or_refused(engine: Engine, proxy: Proxy, meta: dict[str, Any]) -> None:
    stored = stored_or_refused(engine, proxy, **meta)
    try:
        expected = as_json(meta)
    except ValueError:
        assert stored is None
    else:
        assert stored is not None
        assert stored[:2] == (None, None)
        assert same(stored[2], expected) if meta else stored[2] is None


@fuzzed
@given(actor_id=texts | st.none() | st.integers() | st.uuids() | st.floats() | st.booleans() | st.binary() | not_json)
@example(actor_id="\0")
@example(actor_id="a\ud800b")
@example(actor_id=" ")
@example(actor_id=10**400)
def test_an_actor_is_stored_as_its_text_or_refused(engine: Engine, proxy: Proxy, actor_id: Any) -> None:
    """Nothing and an empty text are not an actor."""
    stored = stored_or_refused(engine, proxy, actor_id=actor_id)
    may_be_one = isinstance(actor_id, (str, int, UUID)) and not isinstance(actor_id, bool)
    if actor_id is None or (may_be_one and is_text(str(actor_id))):
        assert stored == ((None if actor_id is None else str(actor_id)) or None, None, None)
    else:
        assert stored is None


@fuzzed
@given(client_addr=texts | st.none() | st.ip_addresses().map(str) | st.ip_addresses().map(lambda ip: f"{ip}:80"))
@example(client_addr="10.0.0.1\0")
@example(client_addr="unix:\ud800")
@example(client_addr="::1")
@example(client_addr="::ffff:10.0.0.1")
@example(client_addr="fe80::1%eth0")
@example(client_addr=" 10.0.0.1 ")
@example(client_addr="10.0.0.1/8")
@example(client_addr="unknown, 10.0.0.1")
def test_an_address_is_stored_as_inet_or_as_text_or_refused(
    engine: Engine, proxy: Proxy, client_addr: str | None
) -> None:
    """A text that is not an address is kept in ``meta``."""
    stored = stored_or_refused(engine, proxy, client_addr=client_addr)
    if client_addr and not is_text(client_addr):
        assert stored is None
    elif not client_addr:
        assert stored == (None, None, None)
    elif (address := as_inet(engine, client_addr)) is not None:
        assert stored == (None, address, None)
    else:
        assert stored == (None, None, {"client_addr": client_addr})


def as_inet(engine: Engine, client_addr: str) -> Any:
    """Return an address as PostgreSQL writes it; None if it is none."""
    with engine.connect() as connection:
        try:
            return connection.scalar(select(cast(cast(literal(client_addr, Text), INET), Text)))
        except DataError:
            return None


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "context",
    [
        pytest.param({"reason": nested(100_000)}, id="nested too deeply"),
        pytest.param({"reason": circular()}, id="within itself"),
        pytest.param({"reason": 10**5000}, id="too many digits in meta"),
        pytest.param({"actor_id": 10**5000}, id="too many digits in an actor"),
    ],
)
def test_what_python_cannot_write_is_refused_like_everything_else(
    engine: Engine, proxy: Proxy, context: dict[str, Any]
) -> None:
    assert stored_or_refused(engine, proxy, **context) is None


@pytest.mark.parametrize("key", ["self", "cls", "key", "meta", "value"])
def test_any_word_can_be_a_key_of_meta(engine: Engine, proxy: Proxy, key: str) -> None:
    assert stored_or_refused(engine, proxy, **{key: "x"}) == (None, None, {key: "x"})
