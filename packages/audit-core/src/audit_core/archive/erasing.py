"""Erasing values of a person from the archive: what has them comes back, is erased, and replaces what was there."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyiceberg.expressions import EqualTo
from sqlalchemy import Engine, select

from ..errors import ConfigurationError, HistoryError
from ..lifecycle.owner import WhoIsAtWork, statement
from ..reading.activities import actor_id_text
from ..reading.entities import Entity
from ..seals import Erasure, column_names, counted, erase
from .catalog import Archive, opened_archive
from .timeline import Timeline
from .unarchiving import unarchive
from .writing import archive_again

if TYPE_CHECKING:
    from ..scope import Scope

_ARCHIVED = (
    "SELECT p.name, p.from_id, p.end_id, p.table_names, p.removed_at IS NOT NULL OR p.held_count IS NOT NULL AS is_gone"
    " FROM {schema}.activity_partition AS p WHERE p.archived_at IS NOT NULL ORDER BY p.end_id"
)


def erase_archived(
    scope: Scope,
    engine: Engine,
    who: WhoIsAtWork,
    model: Any,
    key: Any,
    columns: Sequence[Any],
    reason: str,
    *,
    where: Any,
    actor: Any,
    dry_run: bool,
    catalog: Any,
    patience: dt.timedelta,
) -> Erasure:
    """Erase values of what is archived; see :meth:`audit_core.AuditLog.erase_archived`."""
    names = column_names(scope, model, key, columns, where)
    if not isinstance(engine, Engine):
        raise ConfigurationError(f"{engine!r} is not an Engine. The archive is written as it goes: give the engine.")
    with engine.connect() as connection:
        archived = connection.execute(statement(_ARCHIVED, schema=scope.schema)).all()
    if dry_run:
        if where is not None:
            raise HistoryError("What where= chooses cannot be counted in the archive: unarchive() first, and erase().")
        with Timeline(scope, engine, catalog) as trail:
            found = () if model is None else trail.history(model, key)
            counts, *ids = counted(names, found, () if actor is None else trail.transactions_of(actor))
        return Erasure(dict(counts), len(ids[0]), len(ids[1]), tuple(each.name for each in archived), (), None)
    gone = [each for each in archived if each.is_gone]
    with opened_archive(scope, engine, catalog) as opened:
        concerned = set() if actor is None else _ends_of_actor(scope, engine, opened, actor)
    if model is not None:
        concerned |= _ends_of_model(scope, engine, gone, model, key, where, catalog)
    total: Counter[tuple[str, str]] = Counter()
    activities, transactions = 0, 0
    tables: dict[str, None] = {}
    last_id = None
    again: dict[str, Any] = {"catalog": catalog, "patience": patience}
    # One after the other, so that the database need not have room for all.
    for each in gone:
        if each.end_id not in concerned:
            continue
        for _ in unarchive(scope, engine, who, each.name, reason=None, **again):
            pass
        try:
            with engine.begin() as connection:
                done = erase(scope, connection, model, key, columns, reason, where=where, actor=actor, dry_run=False)
        finally:
            archive_again(scope, engine, who, [each.name], whole=[each.name], drop=True, **again)
        total.update(done.values)
        activities += done.activities
        transactions += done.transactions
        tables |= dict.fromkeys(name for name in done.tables if name != each.name)
        last_id = done.maintenance_id or last_id
    # What the database has as well was erased there before.
    present = [each for each in archived if not each.is_gone]
    of_actor = [each.name for each in present if each.end_id in concerned]
    archive_again(scope, engine, who, [each.name for each in present], whole=of_actor, is_last=True, **again)
    return Erasure(dict(total), activities, transactions, (), tuple(tables), last_id)


def _ends_of_actor(scope: Scope, engine: Engine, archive: Archive, actor: Any) -> set[int]:
    with engine.connect() as connection:
        written = connection.scalar(select(actor_id_text(scope, actor)))
    scan = archive.transaction.scan(EqualTo("actor_id", str(written)), ("partition_end_id",))
    return {each for batch in scan.to_arrow_batch_reader() for each in batch.column(0).to_pylist()}


def _ends_of_model(
    scope: Scope, engine: Engine, partitions: Sequence[Any], model: Any, key: Any, where: Any, catalog: Any
) -> set[int]:
    if key is not None:
        with Timeline(scope, engine, catalog) as trail:
            ids = {each.id for each in trail.history(model, key)}
        return {each.end_id for each in partitions if any(_has_id(each, number) for number in ids)}
    with engine.connect() as connection:
        names = {name for part in Entity.find(scope, model).parts for name in connection.scalars(part.possible_names)}
    return {each.end_id for each in partitions if names & set(each.table_names)}


def _has_id(partition: Any, number: int) -> bool:
    return (partition.from_id is None or partition.from_id <= number) and bool(number < partition.end_id)
