"""The plan of an undo, as users see it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import Connection, func, literal, select
from sqlalchemy.orm import Session

from ..connections import unwrapped
from ..errors import HistoryError, UndoConflictError
from ..reading.activities import transaction_id
from ..settings import recorded_settings
from .claims import UNDOES, undone_by
from .ignoring import Ignored, ignored_columns
from .recorded import RecordedChange, load
from .reversal import Reversal
from .steps import Conflict, UndoStep
from .transaction import flushed_connection, written_transaction

if TYPE_CHECKING:
    from ..models import AuditLogTransaction
    from ..scope import Scope


@dataclass
class UndoPlan:
    """What would be done, as the tables are when the plan is made."""

    _scope: Scope = field(repr=False)
    _session: Session | Connection = field(repr=False)
    _changes: list[RecordedChange] = field(repr=False)
    _undoes: int | None = field(repr=False)
    _meta: dict[str, Any] = field(repr=False)
    _ignored: Ignored = field(repr=False)
    #: What would be done, in this order.
    steps: list[UndoStep] = field(default_factory=list)
    #: What cannot be taken back, and why.
    conflicts: list[Conflict] = field(default_factory=list)

    def apply(self, on_conflict: Literal["abort", "skip"] = "abort") -> AuditLogTransaction | None:
        """Do it, as a transaction of the trail that can be undone itself, and return that.

        What has changed since the plan was made is found. The rows are locked; commit is left to the caller. If
        anything fails, nothing is changed.

        :param on_conflict: ``abort`` to do all or nothing, ``skip`` to leave out what is in conflict.
        :return: the transaction in the trail; None if there was nothing to do.
        :raises UndoConflictError: if there are conflicts and they are not to be skipped.
        """
        if on_conflict not in ("abort", "skip"):
            raise HistoryError(f"on_conflict is {on_conflict!r}; it can be 'abort' or 'skip'.")
        connection = flushed_connection(self._scope, self._session)
        with recorded_settings(connection), connection.begin_nested():
            _refuse_what_is_undone(self._scope, connection, self._undoes, self._ignored)
            self._take_back(connection)
            # A constraint that is checked at the end names no step that could be left out.
            if self.conflicts and (on_conflict == "abort" or any(each.activity_id is None for each in self.conflicts)):
                raise UndoConflictError(self.conflicts)
        if not isinstance(self._session, Connection):
            self._session.expire_all()
        with recorded_settings(connection):
            return written_transaction(self._scope, self._session, self._meta) if self.steps else None

    def _rehearse(self, connection: Connection) -> None:
        """Try it and roll it back, so that the database itself says which constraints prevent it."""
        rehearsal = connection.begin_nested()
        try:
            self._take_back(connection)
        finally:
            if rehearsal.is_active:
                rehearsal.rollback()

    def _take_back(self, connection: Connection) -> None:
        reversal = Reversal(self._scope, connection, self._meta, self._ignored)
        reversal.take_back(self._changes)
        reversal.finish()
        self.steps, self.conflicts = reversal.steps, reversal.conflicts


def plan_undo(
    scope: Scope, session: Any, what: Any, limit: int | None = None, ignore: Collection[Any] = ()
) -> UndoPlan:
    """Plan to take changes back; see :meth:`audit_core.AuditLog.plan_undo`."""
    ignored = ignored_columns(scope, ignore)
    connection = flushed_connection(scope, session)
    session = unwrapped(session)
    with recorded_settings(connection):
        activity = scope.activity_cls
        undoes: int | None = None
        if isinstance(what, (int, scope.transaction_cls)):
            undoes = transaction_id(scope, what)
            if connection.scalar(select(scope.transaction_cls.id).where(scope.transaction_cls.id == undoes)) is None:
                raise HistoryError(f"There is no transaction {undoes} in the trail.")
            _refuse_what_is_undone(scope, connection, undoes, ignored)
            chosen = activity.transaction_id == undoes
            meta: dict[str, Any] = {UNDOES: undoes}
        else:
            ids = sorted(_activity_ids(scope, what))
            chosen = activity.id.in_(ids)
            meta = {UNDOES: {"activities": ids}}
        if limit is not None:
            _refuse_more(scope, connection, chosen, limit)
        plan = UndoPlan(scope, session, load(scope, connection, chosen), undoes, meta, ignored)
        plan._rehearse(connection)
    return plan


def _refuse_more(scope: Scope, connection: Connection, chosen: Any, limit: int) -> None:
    """Refuse to take more changes back than a limit, before they are loaded and their rows are locked."""
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise HistoryError(f"limit is {limit!r}; give the number of changes that may be taken back.")
    some = select(literal(1)).select_from(scope.activity_cls).where(chosen).limit(limit + 1).subquery()
    if (connection.scalar(select(func.count()).select_from(some)) or 0) > limit:
        raise HistoryError(
            f"There are more than {limit:,} changes to take back, which is the limit. Give a higher limit, or none, "
            "where there is time: the rows are locked meanwhile."
        )


def _refuse_what_is_undone(scope: Scope, connection: Connection, undoes: int | None, ignored: Ignored) -> None:
    if undoes is not None and (by := undone_by(scope, connection, undoes, ignored)) is not None:
        raise HistoryError(
            f"Transaction {undoes} was undone by transaction {by} already. Undo {by} to have its changes again."
        )


def _activity_ids(scope: Scope, what: Any) -> set[int]:
    if isinstance(what, scope.activity_cls):
        return {what.id}
    if isinstance(what, Iterable) and not isinstance(what, (str, bytes)):
        activities = list(what)
        if all(isinstance(each, scope.activity_cls) for each in activities):
            return {each.id for each in activities}
    raise HistoryError(
        f"{what!r} cannot be undone; give an AuditLogTransaction or its id, or activities such as "
        "session.scalars(audit_log.history(obj).limit(1))."
    )
