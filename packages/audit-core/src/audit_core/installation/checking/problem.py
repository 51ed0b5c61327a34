"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something that is not recorded, or not protected, as it should be."""

    #: The table concerned, with its schema where it is not the default one; None for the whole trail.
    table: str | None
    #: What is wrong, and what to do.
    message: str

    def __str__(self) -> str:
        return self.message
