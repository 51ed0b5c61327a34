"""Bringing a row of the past back."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, DateTime, and_, literal, or_, select
from sqlalchemy.orm import aliased

from ..audited import foreign_keys_of
from ..connections import unwrapped
from ..errors import HistoryError, UndoConflictError
from ..reading.as_of import get_as_of
from ..reading.changes import table_of
from ..reading.coverage import is_kept, is_off
from ..reading.entities import Entity
from ..reading.instants import past
from ..reading.merging import ROW_VERBS
from ..settings import recorded_settings
from .recorded import RecordedChange, load
from .reversal import Reversal
from .transaction import flushed_connection, written_transaction

if TYPE_CHECKING:
    from ..models import AuditLogTransaction
    from ..scope import Scope


def restore(scope: Scope, session: Any, model: Any, key: Any, when: dt.datetime) -> AuditLogTransaction | None:
    """Bring a row back to what it was; see :meth:`audit_core.AuditLog.restore`."""
    entity = Entity.find(scope, model)
    past(when)
    connection = flushed_connection(scope, session)
    session = unwrapped(session)
    with recorded_settings(connection):
        name = entity.audited.table.fullname
        for audited in entity.own:
            off = connection.execute(is_off(audited, literal(when, DateTime(timezone=True)))).first()
            if off is not None:
                until = "" if off.ended_at is None else f" until {off.ended_at.isoformat()}"
                raise HistoryError(
                    f"Table {audited.table.fullname!r} was not recorded from {off.began_at.isoformat()}{until}, so "
                    f"what it held at {when.isoformat()} is not known. Ask for another time."
                )
        # Also says so if the row was not there, or its history begins later.
        was_there = get_as_of(scope, connection, model, key, when) is not None
        activity = scope.activity_cls
        wanted: list[RecordedChange] = []
        gone: dict[int, RecordedChange] = {}
        # What is referenced comes first: the row of the class above.
        for audited in reversed(entity.own):
            of_row = select(activity.id).where(
                audited.is_of(activity),
                activity.verb.in_(ROW_VERBS),
                activity.row_key == audited.row_key(entity.key_of(audited, key)),
            )
            # What is left from before retention removed the rest does not tell how the row was.
            until_then = of_row.where(activity.issued_at <= when, is_kept(audited, activity.issued_at))
            then = connection.scalar(until_then.order_by(activity.id.desc()).limit(1))
            if was_there and then is None:
                row_key = audited.row_key(entity.key_of(audited, key))
                under_key = or_(activity.row_key == row_key, activity.old_row_key == row_key)
                later = select(activity.id).where(audited.is_of(activity), activity.issued_at > when, under_key)
                then = connection.scalar(later.where(activity.verb.in_(ROW_VERBS)).order_by(activity.id).limit(1))
            if not was_there or then is None:
                raise HistoryError(
                    f"{name!r} {key!r} was gone at {when.isoformat()}. Ask for a time at which it was there."
                )
            wanted += load(scope, connection, activity.id == then)
            last = connection.scalar(of_row.order_by(activity.id.desc()).limit(1))
            for change in load(scope, connection, and_(activity.id == last, activity.verb == "delete")):
                gone |= {each.id: each for each in [change, *_deleted_with(scope, connection, change)]}
        meta = {"restores": {"table": name, "row_key": wanted[-1].key_at(when), "as_of": when.isoformat()}}
        with connection.begin_nested():
            reversal = Reversal(scope, connection, meta)
            reversal.take_back(list(gone.values()))
            for change in wanted:
                # Where retention removed what was before, the first activity after it tells how it was.
                reversal.bring_back(change, before=change.issued_at > when and change.verb != "snapshot")
            reversal.finish()
            if reversal.conflicts:
                raise UndoConflictError(reversal.conflicts)
        if not isinstance(session, Connection):
            session.expire_all()
        return written_transaction(scope, session, meta) if reversal.steps else None


def _deleted_with(scope: Scope, connection: Connection, gone: RecordedChange) -> list[RecordedChange]:
    """Find the rows that referenced a deleted row and were deleted in the same transaction, and theirs."""
    activity, transaction = scope.activity_cls, scope.transaction_cls
    own = aliased(transaction)
    # By number and time: in another cluster a number means another transaction.
    same = and_(transaction.native_transaction_id == own.native_transaction_id, transaction.issued_at == own.issued_at)
    own_id = select(activity.transaction_id).where(activity.id == gone.id).scalar_subquery()
    ids = select(transaction.id).join(own, same).where(own.id == own_id)
    together = load(scope, connection, and_(activity.transaction_id.in_(ids), activity.verb == "delete"))
    found = [gone]
    for parent in found:
        for child in together:
            if child not in found and _is_referenced_by(scope, child, parent):
                found.append(child)
    # Those that reference come after what they reference.
    return found[1:]


def _is_referenced_by(scope: Scope, child: RecordedChange, parent: RecordedChange) -> bool:
    """Return whether a row referenced another one by a foreign key of the MetaData."""
    table = table_of(scope, child.schema, child.table_name)
    if table is None:
        return False
    return any(
        constraint.referred_table is table_of(scope, parent.schema, parent.table_name)
        and all(
            child.old.get(element.parent.name) == parent.old.get(element.column.name) is not None
            for element in constraint.elements
        )
        for constraint in foreign_keys_of(table)
    )
