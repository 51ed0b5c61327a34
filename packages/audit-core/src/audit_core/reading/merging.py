"""The row that an activity left, put together from what it recorded."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, literal, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from .exact import exact_text, operate


def merged(activity: Any) -> ColumnElement[Any]:
    """The row as a change left it; for a delete, as it was."""
    old, new = type_coerce(activity.old_data, JSONB()), type_coerce(activity.changed_data, JSONB())
    # What was read is what somebody says: where it is not an object, the two cannot be put together.
    changed = case((activity.verb == exact_text("read"), literal({}, JSONB())), else_=new)
    return operate(old, "||", changed, JSONB())
