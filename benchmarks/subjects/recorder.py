"""What the workloads ask of a subject."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, MetaData

from benchmarks.statements import STATEMENTS


class Recorder:
    """A subject at work. What is here does nothing, as without audit."""

    #: The model of the table ``item``.
    item_cls: type[Any]
    #: Name of a step -> the SQL that it sends.
    statements: Mapping[str, tuple[str, ...]] = STATEMENTS
    #: Tables of the trail, which are measured and emptied.
    trail_tables: tuple[str, ...] = ()
    #: Tables of the trail that hold the changes: for their number.
    change_table: str | None = None
    #: Queries as their users write them, with ``:key`` and ``:transaction``.
    history_query: str | None = None
    transaction_query: str | None = None

    @property
    def metadata(self) -> MetaData:
        metadata: MetaData = self.item_cls.metadata
        return metadata

    def install(self, engine: Engine) -> None:
        """Create the tables and what records them."""
        self.metadata.create_all(engine)

    def attach(self, engine: Engine) -> None:
        """Do what the subject wants done with an engine."""

    def acting(self) -> AbstractContextManager[Any]:
        """Return the block of one transaction, which says who is at work."""
        return nullcontext()

    def before_copy(self, connection: Connection) -> None:
        """Do what the subject wants done before a COPY on the driver's cursor."""

    def fill(self, changes: int, for_each_record: int) -> tuple[str, ...]:
        """Return statements that fill the trail with updates of the table ``item``.

        Change g belongs to record ``g % (changes / for_each_record) + 1``; ten changes are one transaction.
        """
        raise NotImplementedError


class ActivityRecorder(Recorder):
    """What those have in common that keep old and new rows in a table ``activity`` without a key for them."""

    trail_tables = ("activity", "transaction")
    change_table = "activity"
    history_query = (
        "SELECT * FROM activity WHERE table_name = 'item' "
        "AND (old_data->>'id' = CAST(:key AS text) OR changed_data->>'id' = CAST(:key AS text)) ORDER BY id"
    )
    transaction_query = "SELECT * FROM activity WHERE transaction_id = :transaction ORDER BY id"
