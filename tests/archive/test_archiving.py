"""What is old goes to the archive, complete, and once."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from audit_core import ConfigurationError, HistoryError, MaintenanceError
from audit_core.archive.catalog import opened_archive
from audit_core.audit_log import scope_of
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo
from sqlalchemy import Engine, create_engine, select, text
from sqlalchemy.orm import Session

from tests.archive.trail import YEAR, Item, Part, Trail, said

DIGITS = "0.1234567890123456789012345678901234567890"


def test_old_partitions_are_archived_and_marked(trail: Trail) -> None:
    trail.three_years()
    before = trail.recorded()
    first, second = trail.archive()
    assert [first.partition, second.partition] == ["activity_p0001", "activity_p0002"]
    assert (first.rows, first.transactions, first.is_dropped) == (3, 2, False)
    assert trail.names() == ["activity_p0001", "activity_p0002", "activity_p0003", "activity_open"]
    with trail.engine.connect() as connection:
        assert [each.archived_at is None for each in trail.log.partitions(connection)] == [False, False, True, True]
        assert trail.log.check(connection) == []
    assert [(each["partition"], each["rows"]) for each in trail.operations("archive")] == [
        ("activity_p0001", 3),
        ("activity_p0002", 3),
    ]
    assert trail.archive() == []
    assert trail.recorded() == before


def test_dropped_partitions_are_read_from_the_archive(trail: Trail) -> None:
    trail.three_years()
    with Session(trail.engine) as session:
        history = said(session.scalars(trail.log.history(Item, 1)))
        moved = said(session.scalars(trail.log.history(Item, 20)))
        everything = said(session.scalars(trail.log.activities()))
    dropped = trail.archive(drop=True)
    assert [each.is_dropped for each in dropped] == [True, True]
    assert trail.names() == ["activity_p0003", "activity_open"]
    with trail.log.archived(trail.engine) as archived:
        assert said(archived.history(Item, 1)) == history
        assert len(history) == 3
        assert said(archived.history(Item, 20)) == moved
        assert len(moved) == 3
        assert [each for each in said(archived.activities()) if each[0] in {row[0] for row in everything}] == everything


def test_deltas_are_completed_from_the_archive(trail: Trail) -> None:
    """Also where what they rest on is not in the answer."""
    trail.add(Item(id=1, name="one", price=Decimal("1.10")), Item(id=2, name="two"))
    for name, actor in (("uno", "ben"), ("eins", "ann"), ("un", "ben")):
        trail.change(Item, 1, name=name, actor=actor)
    trail.close(2 * YEAR)
    trail.change(Item, 1, name="moja", actor="ben")
    activity = trail.log.activity_cls
    with Session(trail.engine) as session:
        of_ben = said(session.scalars(trail.log.activities(actor="ben")))
        of_updates = select(activity.delta_depth).where(activity.verb == "update").order_by(activity.id)
        depths = list(session.scalars(of_updates))
        third = session.scalars(select(activity).where(activity.delta_depth == 3)).one()
        number, when, before = third.id, third.issued_at, third.row_before
        row = trail.log.get_as_of(session, Item, 1, when)
    assert depths == [1, 2, 3, None]
    with trail.engine.begin() as connection:
        trail.log.hold(connection, "case 17", table=Item, key=1, since=when)
    trail.archive(drop=True)
    with trail.log.archived(trail.engine) as archived:
        found = list(archived.activities(actor="ben"))
        held = archived.activity(number)
        assert held is not None
        past = archived.get_as_of(Item, 1, when)
        (first, _, second, _) = list(archived.activities(table=Item, verb="update", oldest_first=True))
    # What is held is whole in the database.
    assert (held.delta_depth, held.old_data, held.row_before) == (None, before, before)
    assert [each[14] for each in said(found)] == [each[14] for each in of_ben]
    assert (first.before.name, second.before.name, second.before.price) == ("one", "eins", Decimal("1.10"))
    assert (past.name, past.price) == (row.name, row.price) == ("un", Decimal("1.10"))
    trail.log.unarchive(trail.engine, "activity_p0001")
    with Session(trail.engine) as session:
        assert said(session.scalars(trail.log.activities(actor="ben"))) == of_ben


def test_json_is_exact_to_the_digit(trail: Trail) -> None:
    more = f'{{"deep": [{DIGITS}, 1e400, null, "\u00df"]}}'
    with trail.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO items (id, name, price, more) "
                "VALUES (7, :name, CAST(:price AS numeric), CAST(:more AS jsonb))"
            ),
            {"name": '\U0001f600 \u00e4 " \\ \n', "price": DIGITS, "more": more},
        )
    trail.close(dt.timedelta(days=800))
    before = trail.recorded()
    trail.archive(drop=True)
    assert trail.recorded() != before
    with opened_archive(scope_of(trail.log), trail.engine, None) as archive:
        (written,) = archive.activity.scan(EqualTo("table_name", "items")).to_arrow()["changed_data"].to_pylist()
    assert f'"price": {DIGITS}' in written
    assert json.loads(written)["more"]["deep"][3] == "\u00df"
    trail.log.unarchive(trail.engine, "activity_p0001")
    assert trail.recorded() == before


def test_what_is_held_stays_in_the_database_and_is_read_once(trail: Trail) -> None:
    trail.three_years()
    with Session(trail.engine) as session, session.begin():
        everything = said(session.scalars(trail.log.activities()))
        held = trail.log.hold(session, "case 17", table=Item, key=1)
    first, second = trail.archive(drop=True)
    assert (first.is_dropped, second.is_dropped) == (True, True)
    assert trail.names() == ["activity_p0001", "activity_p0002", "activity_p0003", "activity_open"]
    with Session(trail.engine) as session:
        assert len(session.scalars(trail.log.history(Item, 1)).all()) == 3
        assert session.scalars(trail.log.activities(table=Part, verb="insert")).all() == []
    known = {row[0] for row in everything}
    with trail.log.archived(trail.engine) as archived:
        assert [each for each in said(archived.activities()) if each[0] in known] == everything
    assert trail.archive(drop=True) == []
    with Session(trail.engine) as session, session.begin():
        trail.log.release(session, held)
    trail.log.retain(trail.engine, "1y")
    assert trail.names() == ["activity_p0003", "activity_open"]
    with trail.log.archived(trail.engine) as archived:
        assert [each for each in said(archived.activities()) if each[0] in known] == everything


def test_a_month_comes_back_also_where_a_part_of_it_was_held(trail: Trail) -> None:
    trail.three_years()
    before = trail.recorded()
    with Session(trail.engine) as session, session.begin():
        trail.log.hold(session, "case 17", table=Item, key=1)
    (first, _) = trail.archive(drop=True)
    assert first.since is not None
    # The second one begins with the activity that says that the first one was closed.
    back = trail.log.unarchive(trail.engine, f"{first.since:%Y-%m}")
    assert [(each.partition, each.rows) for each in back] == [("activity_p0001", 3), ("activity_p0002", 3)]
    assert back[0].checksum == first.checksum
    assert trail.recorded(("maintenance", "hold")) == before
    with trail.engine.connect() as connection:
        assert trail.log.check(connection) == []
        assert [each.is_held for each in trail.log.partitions(connection)][:2] == [True, True]
    assert [each["partition"] for each in trail.operations("unarchive")] == ["activity_p0001", "activity_p0002"]
    # What came back is in the archive as well, and goes again without being written.
    with Session(trail.engine) as session, session.begin():
        trail.log.release(session, 1)
    assert [each.is_dropped for each in trail.archive(drop=True)] == [True, True]


def test_a_partition_that_was_changed_since_is_not_dropped_until_it_is_archived_again(trail: Trail) -> None:
    trail.three_years()
    trail.archive()
    with trail.engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL audit_logger.maintenance = 'on'")
        connection.exec_driver_sql("UPDATE activity SET table_name = 'things' WHERE table_name = 'items'")
    with pytest.raises(MaintenanceError, match="'activity_p0001' is not as it was archived"):
        trail.log.retain(trail.engine, "1y")
    assert trail.names()[0] == "activity_p0001"
    with trail.engine.connect() as connection:
        (problem,) = trail.log.check(connection)
    assert "public.activity_p0001 still begins at" in problem.message
    trail.archive(drop=True)
    with trail.log.archived(trail.engine) as archived:
        assert len(list(archived.activities(table="things", verb="insert"))) == 2


def test_an_archive_that_lost_rows_is_noticed(trail: Trail) -> None:
    trail.three_years()

    def lose(step: str, partition: str) -> None:
        if step == "activities committed" and partition == "activity_p0001":
            with opened_archive(scope_of(trail.log), trail.engine, None) as archive:
                archive.activity.delete(EqualTo("row_key", "1"))

    with pytest.raises(MaintenanceError, match="differs from it"):
        trail.archive(drop=True, progress=lose)
    assert trail.names()[0] == "activity_p0001"
    trail.archive()
    lost = trail.archive(drop=True)
    assert [each.partition for each in lost] == ["activity_p0001", "activity_p0002"]
    with opened_archive(scope_of(trail.log), trail.engine, None) as archive:
        archive.activity.delete(EqualTo("row_key", "1"))
    with pytest.raises(MaintenanceError, match="Nothing was brought back"):
        trail.log.unarchive(trail.engine, "activity_p0001")
    assert trail.names()[0] == "activity_p0003"


def test_another_catalog_can_be_given(trail: Trail, tmp_path: Path) -> None:
    trail.three_years()
    own = SqlCatalog("own", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/own")
    trail.archive(catalog=own, drop=True)
    with trail.log.archived(trail.engine, catalog=own) as archived:
        assert len(archived.history(Item, 1)) == 3
    with trail.engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regnamespace('audit_archive')")) is None
    with pytest.raises(ConfigurationError, match="and not at"):
        trail.log.archive(trail.engine, "/elsewhere", older_than="1y", catalog=own)
    own.close()


def test_questions_that_the_archive_cannot_answer_are_refused(trail: Trail) -> None:
    trail.three_years()
    trail.archive(drop=True)
    with trail.log.archived(trail.engine) as archived:
        with pytest.raises(HistoryError, match="begins at"):
            archived.get_as_of(Item, 1, dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=2000))
        assert archived.transaction(10**6) is None
        assert list(archived.activities(transaction=10**6)) == []
        first = next(archived.activities())
        assert archived.history(Item, 1, limit=1)[0].id < first.id
    with pytest.raises(HistoryError, match="within a block"):
        archived.history(Item, 1)
    with pytest.raises(ConfigurationError, match="is not an Engine"):
        trail.log.archived("postgresql:///x")  # type: ignore[arg-type]


def test_without_its_packages_it_says_what_to_install() -> None:
    program = (
        "import sys, audit_core\n"
        "assert not {'pyarrow', 'pyiceberg'} & set(sys.modules)\n"
        "sys.modules['pyiceberg'] = None\n"
        "from sqlalchemy import MetaData, create_engine\n"
        "audit_core.AuditLog(MetaData()).archive(create_engine('postgresql+psycopg://'), 'x', older_than='1y')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "The archive needs 'pyiceberg'. Run: pip install \"audit-core[archive]\"" in done.stderr


def test_the_temporary_tables_are_gone_with_the_block(trail: Trail) -> None:
    trail.three_years()
    trail.archive(drop=True)
    engine: Engine = create_engine(trail.engine.url, pool_size=1, max_overflow=1)
    for _ in range(2):
        with trail.log.archived(engine) as archived:
            assert len(archived.history(Item, 1)) == 3
            assert archived.history(Item, 1)[0].transaction.actor_id == "ann"
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('pg_temp.activity')")) is None
    engine.dispose()
