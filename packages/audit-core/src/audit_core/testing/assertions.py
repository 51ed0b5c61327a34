"""Assertions about what was recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.orm import Session, joinedload

from ..audit_log import AuditLog, find_audit_log, scope_of
from ..connections import Target, connection_of, unwrapped
from ..errors import ConfigurationError
from ..reading.activities import ANY, actor_id_of
from .change import Change
from .report import report

#: The trails that were installed for tests: the one that is meant where nothing says which.
installed: WeakSet[AuditLog] = WeakSet()


def changes(session: Target, *, audit_log: AuditLog | None = None) -> list[Change]:
    """Return all that the trail holds, oldest first, as the session sees it; what is pending is flushed.

    :param audit_log: which trail; the one that was installed for the tests if None.
    """
    return _changes(session, _log(audit_log, ()), 0)


@contextmanager
def assert_changes(
    session: Target,
    *,
    insert: Any = (),
    update: Any = (),
    delete: Any = (),
    by: Any = ANY,
    audit_log: AuditLog | None = None,
) -> Iterator[None]:
    """Fail unless the block makes the changes that are named, and no others, in audited tables.

    A model or Table stands for one change or more of its rows: ``insert=User``, ``delete=[User, Article]``. In a dict
    a number is how many there are, ``insert={User: 2}``, and for updates a set is which columns change, in each row:
    ``update={Article: {"title"}}``. The columns are those of the database.

    :param by: who makes all of them: an object, its primary key, or None for nobody.
    :param audit_log: which trail; found by the models, or the one that was installed for the tests, if None.
    :raises AssertionError: with what was recorded.
    """
    expected = {"insert": _tables(insert), "update": _tables(update), "delete": _tables(delete)}
    log = _log(audit_log, [table for tables in expected.values() for table in tables])
    last = _last_id(session, log)
    yield
    recorded = _changes(session, log, last)
    problems = list(_problems(recorded, expected))
    if by is not ANY:
        actor_id = actor_id_of(by)
        wrong = sorted({str(each.actor_id) for each in recorded if each.actor_id != actor_id})
        if wrong:
            problems.append(f"made by {', '.join(wrong)} instead of {actor_id}")
    if problems:
        raise AssertionError(f"{'; '.join(problems)}.\n{report(recorded)}")


@contextmanager
def assert_unchanged(session: Target, *, audit_log: AuditLog | None = None) -> Iterator[None]:
    """Fail if the block changes a row of an audited table.

    :raises AssertionError: with what was recorded.
    """
    with assert_changes(session, audit_log=audit_log):
        yield


def _problems(recorded: list[Change], expected: dict[str, dict[Table, Any]]) -> Iterator[str]:
    left = recorded
    for verb, tables in expected.items():
        for table, how in tables.items():
            those = [each for each in left if each.verb == verb and _is_of(each, table)]
            left = [each for each in left if each.verb != verb or not _is_of(each, table)]
            if not those:
                yield f"no {verb} of {table.name!r} was recorded"
            elif isinstance(how, int) and len(those) != how:
                yield f"{len(those)} instead of {how}: {verb} of {table.name!r}"
            elif isinstance(how, frozenset):
                for columns in sorted({tuple(sorted(each.columns)) for each in those if each.columns != how}):
                    yield f"update of {table.name!r} changes {', '.join(columns)} instead of {', '.join(sorted(how))}"
    for (verb, name), number in sorted(Counter((each.verb, each.table) for each in left).items()):
        yield f"{number} unexpected: {verb} of {name!r}"


def _is_of(change: Change, table: Table) -> bool:
    """Return whether a change is of a table; without a schema, the search path says which one it is."""
    return change.table == table.name and table.schema in (None, change.activity.schema)


def _tables(given: Any) -> dict[Table, Any]:
    """Return what is expected of each table: a number, columns, or None for one change or more."""
    if isinstance(given, Mapping):
        return {_table(each): how if isinstance(how, int) else _columns(how) for each, how in given.items()}
    each_of = given if isinstance(given, (list, tuple, set, frozenset)) else [given]
    return {_table(each): None for each in each_of}


def _columns(given: Any) -> frozenset[str]:
    names = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
    return frozenset(str(getattr(each, "name", each)) for each in names)


def _table(model: Any) -> Table:
    table = model if isinstance(model, Table) else getattr(model, "__table__", None)
    if not isinstance(table, Table):
        raise ConfigurationError(f"{model!r} is neither a model nor a Table.")
    return table


def _log(given: AuditLog | None, tables: Iterable[Table]) -> AuditLog:
    if given is not None:
        return given
    known = (find_audit_log(each.metadata) for each in tables)
    found: set[AuditLog] = {each for each in known if each is not None} or set(installed)
    if len(found) == 1:
        return found.pop()
    raise ConfigurationError(
        f"{len(found)} audit trails are known to the tests: say which one is meant with audit_log=, or install it with "
        "the fixture audit_trail, or AuditTrail(audit_log).install(engine)."
    )


def _last_id(target: Target, log: AuditLog) -> int:
    connection = flushed(target, log)
    return connection.scalar(select(func.coalesce(func.max(log.activity_cls.id), 0))) or 0


def _changes(target: Target, log: AuditLog, after: int) -> list[Change]:
    activity = log.activity_cls
    query = select(activity).options(joinedload(activity.transaction)).where(activity.id > after).order_by(activity.id)
    # A session of its own keeps the objects of the trail out of the one that is tested.
    with Session(flushed(target, log), join_transaction_mode="rollback_only", expire_on_commit=False) as reading:
        found = reading.scalars(query).all()
        reading.expunge_all()
    return [
        Change(each.verb, each.table_name, each.row_key, each.changes, each.transaction.actor_id, each)
        for each in found
    ]


def flushed(target: Target, log: AuditLog) -> Connection:
    """Return the connection of a session, after what was pending has been written."""
    session = unwrapped(target)
    if isinstance(session, Session):
        session.flush()
    return connection_of(target, scope_of(log).bind_arguments())
