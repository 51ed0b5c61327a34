"""A row of the past as an object of its model that belongs to no session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, inspect
from sqlalchemy.orm import Bundle, Mapper
from sqlalchemy.orm.attributes import set_committed_value

_T = TypeVar("_T")

_NOTES_KEY = "audit_notes"

BYPASS_NOTE = "writes of its table bypassed the trail since, so it may be otherwise"
LOSS_NOTE = "its table was not recorded all the time since, so it may be otherwise"
TORN_NOTE = "what was recorded of it before does not lead to it, so something was not recorded; see verify()"
TRUNCATE_NOTE = "a partition of its table was truncated since, and whether it was in that one is not known"


def notes(obj: Any) -> tuple[str, ...]:
    """Return how a past object may differ from the row as it was; empty if it is exact."""
    state: Any = inspect(obj)
    found: tuple[str, ...] = state.info.get(_NOTES_KEY, ())
    return found


def missing_note(name: str) -> str:
    """Note that the trail has no value of a column."""
    return f'"{name}" was not recorded'


def masked_note(name: str) -> str:
    """Note that a column had a value, and that the trail does not know which."""
    return f'"{name}" is masked'


def erased_note(name: str) -> str:
    """Note that a column had a value, which was erased from the trail."""
    return f'"{name}" is erased'


def column_notes(
    names: Iterable[str], data: Mapping[str, Any], masked: Collection[str] | None, erased: Collection[str] | None
) -> dict[str, str]:
    """Say of each column, of these or one that is masked, why a recorded row has no value of it."""
    said = {name: missing_note(name) for name in names if name not in data}
    said |= {name: masked_note(name) for name in masked or () if name in data}
    return said | {name: erased_note(name) for name in erased or () if name in data}


def why_unknown(name: str, said: Iterable[str]) -> str | None:
    """Say in a word why the trail has no value of a column, as notes have it; None if it has one."""
    words = {missing_note(name): "not recorded", masked_note(name): "masked", erased_note(name): "erased"}
    return next((words[note] for note in said if note in words), None)


def elsewhere_note(column: Column[Any]) -> str:
    """Note that a column is in another table of the model."""
    return f'"{column.name}" is in table "{column.table.name}", of which this says nothing'


def no_row_note(name: str) -> str:
    """Note that one of several tables has no row of an object."""
    return f'nothing is known of its row in table "{name}"'


def build(mapper: Mapper[Any], values: Mapping[Column[Any], Any], said: Iterable[str]) -> Any:
    """Make an object from the values of columns.

    As when an object is loaded, neither its constructor nor its validators run. Columns without a value
    are left unset, so that a ``merge()`` of the object keeps what the row has now.
    """
    if mapper.polymorphic_on is not None:
        kind = values.get(mapper.polymorphic_on)  # type: ignore[call-overload]
        mapper = mapper.polymorphic_map.get(kind, mapper)
    obj = mapper.class_manager.new_instance()
    tables = {each.table for each in values}
    missing = []
    for attribute in mapper.column_attrs:
        columns = [each for each in attribute.columns if isinstance(each, Column)]
        known = [each for each in columns if each in values]
        if known:
            set_committed_value(obj, attribute.key, values[known[0]])
        elif columns and tables.isdisjoint(each.table for each in columns):
            missing.append(elsewhere_note(columns[0]))
    inspect(obj).info[_NOTES_KEY] = tuple(dict.fromkeys([*said, *missing]))
    return obj


class PastObjects(Bundle[_T], Generic[_T]):
    """Columns of a query that become an object of the model: those of its tables by their labels, and the notes."""

    def __init__(self, mapper: Mapper[_T], labels: Mapping[Column[Any], str], selected: Any) -> None:
        self._names = list(dict.fromkeys(labels.values()))
        super().__init__(mapper.class_.__name__, *(selected[name] for name in self._names), selected.audit_notes)
        self._mapper = mapper
        self._labels = labels

    def create_row_processor(
        self, query: Any, procs: Sequence[Callable[[Any], Any]], labels: Sequence[str]
    ) -> Callable[[Any], Any]:
        """Return what makes an object of a row."""

        def version(row: Any) -> Any:
            *values, said = (proc(row) for proc in procs)
            return build_labelled(self._mapper, self._labels, dict(zip(self._names, values, strict=True)), said)

        return version


def build_labelled(
    mapper: Mapper[Any], labels: Mapping[Column[Any], str], values: Mapping[Any, Any], said: Iterable[str]
) -> Any:
    """Make an object from the values of columns, by their labels."""
    return build(mapper, {column: values[label] for column, label in labels.items()}, said)
