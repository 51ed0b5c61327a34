"""What users see of an undo: what is done to each row, and what prevents it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ConflictKind: TypeAlias = Literal["cascade", "changed", "constraint", "exists", "gone", "unknown"]


@dataclass(frozen=True)
class UndoStep:
    """What is done to one row to take one activity back."""

    #: The activity that is taken back.
    activity_id: int
    #: What is done to the row.
    action: Literal["insert", "update", "delete"]
    #: The name of its table.
    table_name: str
    #: Its primary key, as the trail writes it.
    row_key: str
    #: The columns that get their old values; all that were recorded for an insert, none for a delete.
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conflict:
    """Why one activity cannot be taken back as it is."""

    #: None if a constraint that is checked at the end of the transaction refuses all of it.
    activity_id: int | None
    #: ``changed`` since, ``gone``, it ``exists`` again, a ``constraint`` or a ``cascade`` forbids it, or the old values
    #: are ``unknown``.
    kind: ConflictKind
    #: What prevents it, with the names of table, row and constraint, in one line.
    message: str
