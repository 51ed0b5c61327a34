"""The type of a query for activities, which SQLAlchemy 2.0 and 2.1 write differently, for type checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

if TYPE_CHECKING:
    from sqlalchemy import select

    from .models import AuditLogActivity

    def _returning(example: _T) -> Callable[[Callable[_P, Any]], Callable[_P, _T]]: ...

    #: Says that a method returns what ``select(AuditLogActivity)`` returns.
    selects_activities = _returning(select(AuditLogActivity))
else:

    def selects_activities(function):
        function.__annotations__["return"] = "Select[AuditLogActivity]"
        return function
