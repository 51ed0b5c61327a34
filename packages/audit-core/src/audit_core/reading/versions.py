"""A row of the past as an object of its model that belongs to no session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import inspect
from sqlalchemy.orm import Bundle, Mapper
from sqlalchemy.orm.attributes import set_committed_value

_T = TypeVar("_T")

_NOTES_KEY = "audit_notes"

BYPASS_NOTE = "writes of its table were kept out of the trail since, so it may be otherwise"
TRUNCATE_NOTE = "a partition of its table was truncated since, and whether it was in that one is not known"


def notes(obj: Any) -> tuple[str, ...]:
    """Say in which ways an object of the past may differ from what the row was; nothing if it is exact."""
    state: Any = inspect(obj)
    found: tuple[str, ...] = state.info.get(_NOTES_KEY, ())
    return found


def missing_note(name: str) -> str:
    """Say that the trail has no value of a column."""
    return f'"{name}" was not recorded'


def masked_note(name: str) -> str:
    """Say that of a column's value only is known that there was one."""
    return f'"{name}" is masked'


def build(mapper: Mapper[Any], values: Mapping[str, Any], said: Iterable[str]) -> Any:
    """Make an object from the values of its table's columns, by their keys.

    As when an object is loaded, neither its constructor nor its validators run. Columns without a value
    are left unset, so that a ``merge()`` of the object keeps what the row has now.
    """
    if mapper.polymorphic_on is not None:
        mapper = mapper.polymorphic_map.get(values.get(mapper.polymorphic_on.key), mapper)
    obj = mapper.class_manager.new_instance()
    for attribute in mapper.column_attrs:
        column = attribute.columns[0]
        if column.table is mapper.local_table and column.key in values:
            set_committed_value(obj, attribute.key, values[column.key])
    inspect(obj).info[_NOTES_KEY] = tuple(said)
    return obj


class Versions(Bundle[_T], Generic[_T]):
    """Columns of a query that become an object of the model: the columns of its table, and the notes."""

    def __init__(self, mapper: Mapper[_T], keys: Sequence[str], *columns: Any) -> None:
        super().__init__(mapper.class_.__name__, *columns)
        self._mapper = mapper
        self._keys = keys

    def create_row_processor(
        self, query: Any, procs: Sequence[Callable[[Any], Any]], labels: Sequence[str]
    ) -> Callable[[Any], Any]:
        """Return what makes an object of a row."""

        def version(row: Any) -> Any:
            *values, said = (proc(row) for proc in procs)
            return build(self._mapper, dict(zip(self._keys, values, strict=True)), said)

        return version
