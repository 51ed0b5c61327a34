"""What one activity says, in the terms of the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table
from sqlalchemy.orm import Mapper

from ..audited import is_audited
from ..errors import HistoryError
from .past_objects import build, column_notes
from .values import as_object, to_python

if TYPE_CHECKING:
    from ..models import AuditLogActivity
    from ..scope import Scope

_WITH_ROW_BEFORE = ("update", "delete")
_WITH_ROW_AFTER = ("insert", "update", "snapshot")


@dataclass(frozen=True)
class ModelReader:
    """Reads activities in the terms of the application's models; what the properties of an activity return."""

    scope: Scope

    def changes(self, activity: AuditLogActivity) -> dict[str, tuple[Any, Any]]:
        """Return what changed as ``{column: (old, new)}``; a side that was not there is None."""
        table = table_of(self.scope, activity.schema, activity.table_name)
        old, new = as_object(activity.old_data), as_object(activity.changed_data)
        if activity.verb in _WITH_ROW_AFTER:
            return {name: (_value(table, name, old.get(name)), _value(table, name, new[name])) for name in new}
        if activity.verb == "delete":
            return {name: (_value(table, name, old[name]), None) for name in old}
        return {}

    def before(self, activity: AuditLogActivity) -> Any:
        """Return the row before the change as an object of the model; None if there was none."""
        return self._object(activity, activity.row_before) if activity.verb in _WITH_ROW_BEFORE else None

    def after(self, activity: AuditLogActivity) -> Any:
        """Return the row after the change as an object of the model; None if there was none."""
        return self._object(activity, activity.data) if activity.verb in _WITH_ROW_AFTER else None

    def _object(self, activity: AuditLogActivity, data: dict[str, Any]) -> Any:
        table = table_of(self.scope, activity.schema, activity.table_name)
        mapper = None if table is None else mapper_of(self.scope, table)
        if table is None or mapper is None:
            raise HistoryError(
                f"No model is mapped to table {activity.table_name!r} of schema {activity.schema!r}, so {activity!r} "
                "cannot be shown as an object. activity.changes, old_data and changed_data hold what was recorded."
            )
        said = column_notes((each.name for each in table.columns), data, activity.masked, activity.erased)
        values = {each: _value(table, each.name, data[each.name]) for each in table.columns if each.name not in said}
        return build(mapper, values, [said[each.name] for each in table.columns if each.name in said])


def _value(table: Table | None, name: str, value: Any) -> Any:
    """Convert a value; what stands for a masked one, or of a column that is gone, stays as it is recorded."""
    column = None if table is None else next((each for each in table.columns if each.name == name), None)
    return value if column is None else to_python(value, column.type)


def table_of(scope: Scope, schema: str, name: str) -> Table | None:
    """Find the audited table that has the name of a recorded one."""
    # Without a schema, the search path says which one it is.
    for key in (f"{schema}.{name}", name):
        table = scope.metadata.tables.get(key)
        if table is not None and is_audited(table):
            return table
    return None


def mapper_of(scope: Scope, table: Table) -> Mapper[Any] | None:
    """Find the model of a table; of several in one table, the one that the others inherit from."""
    found = [mapper for mapper in scope.mappers() if mapper.local_table is table]
    return next((mapper for mapper in found if mapper.inherits not in found), None)
