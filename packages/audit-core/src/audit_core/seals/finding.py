"""What verifying seals finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "altered",
    "missing",
    "added",
    "seal altered",
    "seal missing",
    "digest",
    "removed",
    "erased",
    "rewritten",
    "unsealed",
]


@dataclass(frozen=True)
class SealFinding:
    """Something that does not fit its seal, or what the seals do not say."""

    #: ``altered``, ``missing``, ``added``: a row of a sealed range. ``seal altered``, ``seal missing``: a seal itself.
    #: ``digest``: one that was kept elsewhere, which cannot be believed. ``removed``, ``erased``, ``rewritten``: what
    #: the trail says was done on purpose. ``unsealed``: what no seal covers yet.
    kind: Kind
    #: The number of the seal; None of what no seal covers.
    seal: int | None
    #: ``activity`` or ``transaction``; None if it is about the seal.
    of_table: str | None
    #: The id of the activity or the transaction.
    id: int | None
    #: What is wrong, in one sentence.
    message: str

    @property
    def is_failure(self) -> bool:
        """Whether somebody changed what was sealed, or the proof of it."""
        return self.kind in ("altered", "missing", "added", "seal altered", "seal missing", "digest")

    def __str__(self) -> str:
        return self.message
