"""One recorded change, as tests look at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..models import AuditLogActivity


@dataclass(frozen=True)
class Change:
    """One recorded change."""

    #: ``insert``, ``update``, ``delete``, or another verb of the trail.
    verb: str
    #: The name of the table.
    table: str
    #: The primary key as text; a JSON array of a composite one.
    key: str | None
    #: What changed: ``{column: (old, new)}``.
    values: Mapping[str, tuple[Any, Any]]
    #: The primary key of who did it, in the type that the actor's class has; None for nobody.
    actor_id: Any
    #: The activity itself.
    activity: AuditLogActivity

    @property
    def columns(self) -> frozenset[str]:
        """The columns that changed."""
        return frozenset(self.values)
