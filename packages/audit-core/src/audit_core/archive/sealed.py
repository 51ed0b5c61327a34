"""Rows of the archive, for who verifies the seals that they are in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..lifecycle import checksum
from . import scanning
from .catalog import Archive

_COLUMNS = {"activity": tuple(checksum.ACTIVITY), "transaction": tuple(checksum.TRANSACTION)}


def rows(archive: Archive, of_table: str, ids: list[int]) -> Iterator[Mapping[str, Any]]:
    """Yield those of the activities or transactions with these ids that are in the archive, each once, as texts."""
    wanted = set(ids)
    if of_table == "activity":
        batches = scanning.activities(archive, scanning.Wanted(ids=[(min(ids), max(ids) + 1)]))
    else:
        batches = scanning.transactions(archive, ids)
    for batch in batches:
        for values in batch:
            row = dict(zip(_COLUMNS[of_table], values, strict=True))
            # A transaction stands there with each partition that has changes of it.
            if row["id"] in wanted:
                wanted.discard(row["id"])
                yield row
