"""What is sealed shows any change of it, and values can be erased without a trace but that they were."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from hashlib import sha256
from threading import Barrier
from typing import Any

import pytest
from audit_core import Digest, HistoryError, MaintenanceError, SealFinding, audit_context, notes, verify_proof
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from tests.core_only import by_the_document
from tests.core_only.shop import Customer, Order, audit_log

pytestmark = pytest.mark.each_server


@pytest.fixture
def engine(shop_engine: Engine) -> Iterator[Engine]:
    """A shop where something happened, and is sealed, in two seals."""
    audit_log.attach(shop_engine)
    for number, actor in ((1, "ann"), (2, "bob")):
        with audit_context(actor_id=actor, client_addr=f"10.0.0.{number}", reason="a call"):
            with Session(shop_engine) as session, session.begin():
                session.add(Customer(id=number, name=f"Customer {number}", code=f"+49 30 12345{number}"))
            with Session(shop_engine) as session, session.begin():
                session.get_one(Customer, number).name = f"Renamed {number}"
        audit_log.seal(shop_engine)
    yield shop_engine
    audit_log.detach(shop_engine)


def digests_of(engine: Engine) -> dict[int, Digest]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT number, hash FROM activity_seal")).all()
    return {row.number: Digest(row.number, bytes(row.hash), "2026-11-29") for row in rows}


def found(engine: Engine, digests: dict[int, Digest] | None = None) -> list[SealFinding]:
    with Session(engine) as session:
        return list(audit_log.verify_seals(session, digests))


def failures(engine: Engine, digests: dict[int, Digest] | None = None) -> set[tuple[str, str | None, int | None]]:
    return {(each.kind, each.of_table, each.id) for each in found(engine, digests) if each.is_failure}


def tamper(engine: Engine, *statements: str) -> None:
    """Do as a superuser does whom no trigger stops."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SET session_replication_role = replica")
        for each in statements:
            connection.exec_driver_sql(each, execution_options={"no_parameters": True})


def test_what_nobody_changed_verifies(engine: Engine) -> None:
    assert found(engine, digests_of(engine)) == []


def test_nothing_is_sealed_twice(engine: Engine) -> None:
    assert audit_log.seal(engine) == []


def test_what_is_not_sealed_yet_is_named(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.get_one(Customer, 1).name = "Later"
    (only,) = found(engine)
    assert (only.kind, only.id, only.is_failure) == ("unsealed", 5, False)


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        (["UPDATE activity SET changed_data = changed_data || '{\"name\": \"Nobody\"}' WHERE id = 2"], ("activity", 2)),
        (["UPDATE activity SET old_data = old_data - 'code' WHERE id = 2"], ("activity", 2)),
        (["UPDATE activity SET issued_at = issued_at + interval '1 microsecond' WHERE id = 1"], ("activity", 1)),
        (["UPDATE activity SET transaction_id = 3 WHERE id = 1"], ("activity", 1)),
        (["UPDATE activity SET row_key = '7' WHERE id = 1"], ("activity", 1)),
        (["UPDATE activity SET verb = 'snapshot' WHERE id = 1"], ("activity", 1)),
        (["UPDATE activity SET masked = '{name}' WHERE id = 1"], ("activity", 1)),
        (["UPDATE activity SET masked = '{name}', erased = '{name}' WHERE id = 1",
          "UPDATE activity SET changed_data = changed_data || '{\"name\": null}' WHERE id = 1"], ("activity", 1)),
        (["UPDATE transaction SET actor_id = 'bob' WHERE id = 1"], ("transaction", 1)),
        (["UPDATE transaction SET meta = NULL WHERE id = 1"], ("transaction", 1)),
        (["UPDATE transaction SET issued_at = issued_at - interval '1 day' WHERE id = 2"], ("transaction", 2)),
    ],
)  # fmt: skip
def test_an_altered_row_is_named(engine: Engine, statements: list[str], expected: tuple[str, int]) -> None:
    tamper(engine, *statements)
    assert failures(engine) == {("altered", *expected)}


def test_a_removed_row_is_named(engine: Engine) -> None:
    tamper(engine, "DELETE FROM activity WHERE id = 2", "DELETE FROM transaction WHERE id = 2")
    assert failures(engine) == {("missing", "activity", 2), ("missing", "transaction", 2)}


def test_an_added_row_is_named(engine: Engine) -> None:
    tamper(engine, "UPDATE activity SET id = 3000 WHERE id = 3")
    audit_log.seal(engine)
    columns = "transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb, old_data"
    columns += ", changed_data"
    tamper(engine, f"INSERT INTO activity (id, {columns}) SELECT 2999, {columns} FROM activity WHERE id = 1")
    assert failures(engine) == {("missing", "activity", 3), ("added", "activity", 2999)}


def test_two_rows_that_changed_places_are_named(engine: Engine) -> None:
    tamper(
        engine,
        "UPDATE activity SET id = 100 WHERE id = 1",
        "UPDATE activity SET id = 1 WHERE id = 2",
        "UPDATE activity SET id = 2 WHERE id = 100",
    )
    assert failures(engine) == {("altered", "activity", 1), ("altered", "activity", 2)}


def test_an_altered_seal_is_found_without_digests(engine: Engine) -> None:
    tamper(engine, "UPDATE activity_seal SET root = sha256('x') WHERE number = 1")
    assert ("seal altered", None, None) in failures(engine)


def test_hashes_altered_with_their_row_do_not_make_the_root(engine: Engine) -> None:
    tamper(
        engine,
        "UPDATE activity SET verb = 'delete' WHERE id = 1",
        "UPDATE activity_seal_leaf SET hashes = overlay(hashes PLACING sha256('x') FROM 1) WHERE number = 1",
    )
    assert ("seal altered", None, None) in failures(engine)


def test_a_chain_forged_from_a_point_on_is_found_with_digests(engine: Engine) -> None:
    digests = digests_of(engine)
    tamper(
        engine,
        'UPDATE activity SET changed_data = changed_data || \'{"name": "Nobody"}\' WHERE id = 1',
        "DELETE FROM activity_seal",
        "DELETE FROM activity_seal_leaf",
    )
    audit_log.seal(engine)
    # Whoever can write all tables of the trail can make it consistent; only what is kept elsewhere tells.
    assert failures(engine) == set()
    assert ("seal altered", None, None) in failures(engine, digests)


def test_an_end_that_was_cut_off_is_found_with_digests(engine: Engine) -> None:
    digests = digests_of(engine)
    tamper(
        engine,
        "DELETE FROM activity WHERE id > 2",
        "DELETE FROM transaction WHERE id > 2",
        "DELETE FROM activity_seal WHERE number = 2",
        "DELETE FROM activity_seal_leaf WHERE number = 2",
    )
    assert failures(engine) == set()
    (only,) = [each for each in found(engine, digests) if each.is_failure]
    assert (only.kind, only.seal) == ("seal missing", 2)


def test_a_missing_seal_is_named(engine: Engine) -> None:
    tamper(engine, "DELETE FROM activity_seal WHERE number = 1")
    assert ("seal missing", None, None) in failures(engine)


def test_verifying_goes_on_from_a_seal(engine: Engine) -> None:
    tamper(engine, "UPDATE activity SET verb = 'delete' WHERE id IN (1, 3)")
    with Session(engine) as session:
        seen: list[int] = []
        findings = audit_log.verify_seals(session, first=2, progress=lambda each: seen.append(each.number))
        assert [(each.kind, each.id) for each in findings] == [("altered", 3)]
    assert seen == [2]


def test_sealing_waits_for_transactions_that_have_recorded_something(engine: Engine) -> None:
    with Session(engine) as first, first.begin():
        first.get_one(Customer, 1).name = "Slow"
        first.flush()
        with Session(engine) as second, second.begin():
            second.get_one(Customer, 2).name = "Fast"
        with pytest.raises(MaintenanceError, match="in progress"):
            audit_log.seal(engine, patience=dt.timedelta(seconds=0.1))
    (made,) = audit_log.seal(engine)
    assert (made.from_id, made.to_id, made.activity_count) == (5, 6, 2)
    assert found(engine) == []


def test_sealed_tables_are_protected(engine: Engine) -> None:
    for table in ("activity_seal", "activity_seal_leaf", "activity_commitment"):
        with engine.connect() as connection, pytest.raises(Exception, match="is an audit trail"):
            connection.execute(text(f"TRUNCATE {table}"))


class TestProof:
    def test_a_stranger_verifies_it(self, engine: Engine) -> None:
        proof = _proof(engine, 2)
        proven = verify_proof(proof, digests_of(engine))
        assert proven.activity["changed_data.name"] == '"Renamed 1"'
        assert proven.transaction["actor_id"] == "ann"
        assert proven.seal == 1

    def test_it_needs_a_digest(self, engine: Engine) -> None:
        with pytest.raises(HistoryError, match="no digest"):
            verify_proof(_proof(engine, 2), {})

    def test_that_of_a_later_seal_is_enough(self, engine: Engine) -> None:
        digests = digests_of(engine)
        assert verify_proof(_proof(engine, 2), {2: digests[2]}).digests == (2,)

    @pytest.mark.parametrize(
        "forge",
        [
            lambda proof: proof["activity"]["fields"]["changed_data.name"].update(value='"Nobody"'),
            lambda proof: proof["transaction"]["fields"]["actor_id"].update(value="bob"),
            lambda proof: proof["activity"]["head"].__setitem__(8, "delete"),
            lambda proof: proof["seals"][0].update(root="00" * 32),
            lambda proof: proof.update(transaction=proof["activity"]),
            lambda proof: proof["seals"].clear(),
        ],
    )
    def test_a_forged_one_is_refused(self, engine: Engine, forge: Callable[[Any], None]) -> None:
        proof = _proof(engine, 2)
        forge(proof)
        with pytest.raises(HistoryError):
            verify_proof(proof, digests_of(engine))

    def test_what_was_altered_has_none(self, engine: Engine) -> None:
        tamper(engine, "UPDATE activity SET verb = 'delete' WHERE id = 2")
        with pytest.raises(HistoryError, match="not as it was sealed"):
            _proof(engine, 2)


def _proof(engine: Engine, activity: int) -> dict[str, Any]:
    with Session(engine) as session:
        return audit_log.prove(session, activity)


class TestErasing:
    def test_the_values_are_gone_and_the_rest_still_proved(self, engine: Engine) -> None:
        digests = digests_of(engine)
        with Session(engine) as session, audit_context(actor_id="officer"), session.begin():
            counted = audit_log.erase(
                session, Customer, 1, columns=[Customer.code, "name"], reason="request 7", actor="ann"
            )
        assert counted.values["customers", "code"] == 2
        assert counted.values["transaction", "client_addr"] == 2
        assert failures(engine, digests) == set()
        kinds = {(each.kind, each.of_table, each.id) for each in found(engine, digests)}
        assert {("erased", "activity", 1), ("erased", "activity", 2), ("erased", "transaction", 1)} <= kinds
        with engine.connect() as connection:
            for table in ("activity", "transaction"):
                said = str(connection.execute(text(f"SELECT t::text FROM {table} AS t WHERE id < 3")).all())
                assert "12345" not in said
                assert "10.0.0.1" not in said

    def test_what_is_left_is_still_compared(self, engine: Engine) -> None:
        _erase(engine)
        tamper(engine, 'UPDATE activity SET changed_data = changed_data || \'{"name": "Nobody"}\' WHERE id = 1')
        assert failures(engine) == {("altered", "activity", 1)}

    def test_no_guess_can_be_tested(self, engine: Engine) -> None:
        """What a value is hidden by is random, and gone with it."""
        with engine.connect() as connection:
            before = bytes(connection.scalars(text("SELECT seeds FROM activity_seal_leaf WHERE number = 1")).one())
        _erase(engine)
        with engine.connect() as connection:
            after = bytes(connection.scalars(text("SELECT seeds FROM activity_seal_leaf WHERE number = 1")).one())
            erased = connection.execute(
                text("SELECT count(*) FILTER (WHERE salt IS NULL), count(*) FILTER (WHERE salt IS NOT NULL)"
                     " FROM activity_commitment WHERE field LIKE '%.code'")
            ).one()  # fmt: skip
        assert erased == (2, 0)
        assert before[8:] not in after

    def test_an_erasure_that_nobody_recorded_is_tampering(self, engine: Engine) -> None:
        _erase(engine)
        tamper(engine, "DELETE FROM activity WHERE verb = 'maintenance'")
        assert {("altered", "activity", 1), ("altered", "activity", 2)} <= failures(engine)

    def test_what_was_erased_cannot_come_back(self, engine: Engine) -> None:
        _erase(engine)
        tamper(engine, 'UPDATE activity SET changed_data = changed_data || \'{"code": "x"}\' WHERE id = 1')
        assert failures(engine) == {("altered", "activity", 1)}

    def test_twice_in_the_same_row(self, engine: Engine) -> None:
        _erase(engine)
        with Session(engine) as session, session.begin():
            audit_log.erase(session, Customer, 1, columns=["name"], reason="again")
        assert failures(engine) == set()
        audit_log.seal(engine)
        assert failures(engine, digests_of(engine)) == set()

    def test_before_it_was_sealed(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            session.get_one(Customer, 1).code = "+49 89 777"
        _erase(engine)
        audit_log.seal(engine)
        assert failures(engine) == set()

    def test_rows_that_mention_somebody(self, engine: Engine) -> None:
        activity = audit_log.activity_cls
        with Session(engine) as session, session.begin():
            where = activity.changed_data["name"].as_string() == "Renamed 2"
            erasure = audit_log.erase(session, Customer, columns=["name"], where=where, reason="request 8")
        assert erasure.values == {("customers", "name"): 1}
        assert failures(engine) == set()

    def test_history_says_that_it_is_erased(self, engine: Engine) -> None:
        _erase(engine)
        with Session(engine) as session:
            first = session.scalars(audit_log.history(Customer, 1)).all()[-1]
            assert first.after.name == "Customer 1"
            assert '"code" is erased' in notes(first.after)
            past = audit_log.get_as_of(session, Customer, 1, first.issued_at)
            assert any('"code" is erased' in each for each in notes(past))

    def test_a_dry_run_counts(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            counted = audit_log.erase(session, Customer, 1, columns=["code"], reason="request 7", dry_run=True)
        assert counted.maintenance_id is None
        assert counted.activities == 2
        assert not [each for each in found(engine) if each.kind == "erased"]

    def test_what_is_held_stays(self, engine: Engine) -> None:
        with Session(engine) as session, session.begin():
            audit_log.hold(session, "case 9", table=Customer, key=1)
        with Session(engine) as session, session.begin(), pytest.raises(HistoryError, match="is held"):
            audit_log.erase(session, Customer, 1, columns=["code"], reason="request 7")

    @pytest.mark.parametrize(
        ("columns", "message"), [(["id"], "primary key"), (["phone"], "not a column"), ([], "list")]
    )
    def test_mistakes(self, engine: Engine, columns: list[str], message: str) -> None:
        with Session(engine) as session, pytest.raises(HistoryError, match=message):
            audit_log.erase(session, Customer, 1, columns=columns, reason="request 7")

    def test_its_proof_keeps_the_rest(self, engine: Engine) -> None:
        digests = digests_of(engine)
        _erase(engine)
        proven = verify_proof(_proof(engine, 1), digests)
        assert proven.activity["changed_data.code"] == "(erased)"
        assert proven.activity["changed_data.name"] == '"Customer 1"'


def _erase(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        audit_log.erase(session, Customer, 1, columns=["code"], reason="request 7")


class TestRetention:
    def test_a_partition_that_was_removed_is_said(self, engine: Engine) -> None:
        audit_log.split(engine, at_once=True)
        audit_log.retain(engine, dt.timedelta(microseconds=1))
        findings = found(engine, digests_of(engine))
        assert {(each.kind, each.seal) for each in findings} >= {("removed", 1), ("removed", 2)}
        assert not [each for each in findings if each.is_failure]

    def test_what_was_removed_besides_is_missing(self, engine: Engine) -> None:
        audit_log.split(engine, at_once=True)
        audit_log.seal(engine)
        with Session(engine) as session, session.begin():
            session.get_one(Customer, 1).name = "Later"
        audit_log.seal(engine)
        with engine.connect() as connection:
            last = connection.scalars(text("SELECT max(id) FROM activity")).one()
        audit_log.retain(engine, dt.timedelta(microseconds=1))
        tamper(engine, f"DELETE FROM activity WHERE id = {last}")
        assert failures(engine) >= {("missing", "activity", last)}


def test_another_program_that_knows_the_document_only_agrees(engine: Engine) -> None:
    """Odd values, a time zone, settings of a session, and something that is erased."""
    name = 'Zo\u00eb "Q" \\ \n, {x}: [1] \u2028'
    context = audit_context(actor_id="\u00e4", client_addr="2001:db8::1", why={"deep": [1.50, {"a": None}]})
    with context, Session(engine) as session:
        session.execute(text("SET TimeZone = 'Asia/Kathmandu'; SET extra_float_digits = -3"))
        session.add(Customer(id=9, name=name, code=""))
        session.flush()
        now = dt.datetime.now(dt.timezone.utc)
        session.add(Order(id=1, customer_id=9, total=Decimal("1.500000000000000001"), ordered_at=now))
        session.commit()
    with Session(engine) as session, session.begin():
        session.get_one(Order, 1).total = Decimal("2e10")
        session.get_one(Customer, 9).id = 10
    audit_log.seal(engine)
    _erase(engine)
    audit_log.seal(engine)
    with engine.connect() as connection:
        assert by_the_document.verify(connection.connection.driver_connection) == 4
    tamper(engine, 'UPDATE activity SET changed_data = changed_data || \'{"name": "x"}\' WHERE id = 3')
    with engine.connect() as connection, pytest.raises(AssertionError):
        by_the_document.verify(connection.connection.driver_connection)


def test_a_large_seal_has_the_same_tree(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.add_all(Customer(id=1000 + number, name=f"C {number}") for number in range(333))
    audit_log.seal(engine)
    with engine.connect() as connection:
        assert by_the_document.verify(connection.connection.driver_connection) == 3
    with Session(engine) as session, session.begin():
        where = audit_log.activity_cls.row_key.in_(["1001", "1100", "1332"])
        audit_log.erase(session, Customer, columns=["name"], where=where, reason="three")
    with engine.connect() as connection:
        assert by_the_document.verify(connection.connection.driver_connection) == 3
    assert failures(engine) == set()


def test_what_is_erased_is_in_no_file_of_the_database(engine: Engine) -> None:
    """Not in a heap, a TOAST table or an index of the trail, once its files are written anew."""
    long = " ".join(sha256(str(number).encode()).hexdigest() for number in range(400))
    with audit_context(actor_id="eve", client_addr="10.77.66.55"), Session(engine) as session, session.begin():
        session.add(Customer(id=50, name="SECRET-NAME-4711", code="SECRET-CODE " + long[:900]))
        session.flush()
        session.add(Order(id=50, customer_id=50, total=Decimal(1)))
    audit_log.seal(engine)
    with engine.connect() as connection:
        seeds = text("SELECT seeds FROM activity_seal_leaf ORDER BY number DESC LIMIT 1")
        secret = bytes(connection.scalars(seeds).one())
        connection.execute(text("ANALYZE activity, transaction, activity_open"))
        connection.commit()
    assert _files_with(engine, b"SECRET-NAME-4711")
    with Session(engine) as session, session.begin():
        session.execute(text("DELETE FROM customers WHERE id = 50"))
    with Session(engine) as session, session.begin():
        erasure = audit_log.erase(session, Customer, 50, columns=["name", "code"], reason="request 9", actor="eve")
    audit_log.rewrite(engine, erasure)
    with engine.connect() as connection:
        plain = connection.execution_options(isolation_level="AUTOCOMMIT")
        plain.execute(text("VACUUM FULL customers"))
    for each in (b"SECRET-NAME-4711", b"SECRET-CODE", secret[8:]):
        assert _files_with(engine, each) == []
    with engine.connect() as connection:
        query = "SELECT relname FROM pg_class WHERE relname ~ '^(activity|transaction)' AND relkind = 'r'"
        names = connection.scalars(text(query)).all()
        assert names
        for name in names:
            # As a dump has it.
            with connection.connection.cursor() as cursor, cursor.copy(f"COPY {name} TO STDOUT") as copied:
                content = b"".join(copied)
            assert b"SECRET" not in content


def _files_with(engine: Engine, needle: bytes) -> list[str]:
    """Return the relations in whose files some bytes stand, after all is written to them."""
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("CHECKPOINT"))
        found = connection.execute(
            text(
                "SELECT c.relname, pg_read_binary_file(pg_relation_filepath(c.oid)) AS content FROM pg_class AS c"
                " WHERE pg_relation_filepath(c.oid) IS NOT NULL AND c.relkind IN ('r', 'i', 't')"
            )
        )
        return [row.relname for row in found if needle in bytes(row.content)]


def test_a_proof_reads_little_of_the_trail(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.execute(text("INSERT INTO customers (id, name) SELECT n, 'x' FROM generate_series(1000, 21000) AS n"))
    audit_log.seal(engine)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("VACUUM ANALYZE activity"))
    with engine.connect() as connection:
        audit_log.prove(connection, 7)
        query = text("SELECT sum(seq_tup_read) FROM pg_stat_xact_user_tables WHERE relname ~ '^activity_(open|p[0-9])'")
        assert connection.scalar(query) == 0


def test_two_that_seal_at_once_seal_everything_once(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.execute(text("INSERT INTO customers (id, name) SELECT n, 'x' FROM generate_series(1000, 1500) AS n"))
    together = Barrier(2)

    def seal() -> list[int]:
        together.wait(timeout=30)
        try:
            return [each.activity_count for each in audit_log.seal(engine)]
        except MaintenanceError:
            return []

    with ThreadPoolExecutor(2) as pool:
        made = [count for future in [pool.submit(seal), pool.submit(seal)] for count in future.result(timeout=60)]
    assert sum(made) == 501
    assert found(engine) == []


def test_what_is_imported_is_sealed_and_verified(engine: Engine) -> None:
    row = {"table": "customers", "verb": "insert", "issued_at": "2020-01-01T00:00:00Z", "new_data": {"id": 77}}
    audit_log.import_rows(engine, [row], source="elsewhere")
    made = audit_log.seal(engine)
    assert [each.activity_count for each in made if each.to_id < 0] == [1]
    assert found(engine) == []
    tamper(engine, 'UPDATE activity SET changed_data = changed_data || \'{"name": "Nobody"}\' WHERE id < 0')
    (altered,) = (each for each in found(engine) if each.is_failure)
    assert (altered.kind, altered.of_table, altered.id is not None and altered.id < 0) == ("altered", "activity", True)


def test_what_the_trail_has_of_a_person(engine: Engine) -> None:
    with Session(engine) as session, audit_context(actor_id="ann"), session.begin():
        session.add(Order(id=1, customer_id=2, total=Decimal(1)))
    with Session(engine) as session:
        found_of = [(part, each.table_name) for part, each in audit_log.subject(session, Customer, 2, actor="ann")]
    assert found_of == [
        ("record", "customers"),
        ("record", "customers"),
        ("related", "orders"),
        ("actor", "customers"),
        ("actor", "customers"),
    ]


def test_check_says_when_nobody_seals_any_more(engine: Engine) -> None:
    with Session(engine) as session, session.begin():
        session.get_one(Customer, 1).name = "Later"
    with engine.connect() as connection:
        assert audit_log.check(connection) == []
    tamper(engine, "UPDATE activity SET issued_at = issued_at - interval '25 hours' WHERE id = 5")
    with engine.connect() as connection:
        (problem,) = audit_log.check(connection)
    assert "sealed up to 4, and 5 was recorded at" in problem.message


def test_the_newest_digest_is_kept_once(engine: Engine) -> None:
    newest = audit_log.newest_to_anchor(engine)
    assert newest is not None
    assert found(engine, {newest.number: Digest.of(newest)}) == []
    audit_log.mark_anchored(engine, newest, "git")
    assert audit_log.newest_to_anchor(engine) is None
