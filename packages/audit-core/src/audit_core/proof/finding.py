"""What verify() finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    pass


Kind: TypeAlias = Literal["break", "changed", "appeared", "vanished", "unrecorded", "no beginning", "not compared"]


@dataclass(frozen=True)
class Finding:
    """Something that the trail and the tables do not agree about, or that could not be determined."""

    #: ``break``: an activity does not begin where the one before it ended. ``changed``, ``appeared``, ``vanished``:
    #: the row of today is not what the trail left. ``unrecorded``: one of these, and the trail says that something was
    #: not recorded. ``no beginning``: rows may be older than the trail. ``not compared``: what could not be determined.
    kind: Kind
    #: The table, with its schema where that is declared.
    table: str
    #: The record, as ``activity.row_key`` has it; None if it is about the table.
    row_key: str | None
    #: The columns that differ.
    columns: tuple[str, ...]
    #: The last activity that fits; None if there is none.
    before: int | None
    #: The activity that does not begin there; None for the row of today.
    after: int | None
    #: What is wrong, in one sentence.
    message: str

    @property
    def is_failure(self) -> bool:
        """Whether something happened that the trail did not record."""
        return self.kind in ("break", "changed", "appeared", "vanished")

    def __str__(self) -> str:
        return self.message
