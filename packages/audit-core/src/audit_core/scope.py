"""What one trail is about. All that reads or writes one takes this value, and knows nothing of the AuditLog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, Table
from sqlalchemy.orm import Mapper, registry

from .actor import ActorClass, mappers_of
from .audited import is_audited

if TYPE_CHECKING:
    from .models import AuditLogActivity, AuditLogTransaction


@dataclass(frozen=True, eq=False)
class Scope:
    """The tables of an application, and the trail of their changes."""

    #: The tables of the application.
    metadata: MetaData
    #: Where the tables of the trail are.
    schema: str
    #: Of the application's models, if it has any.
    models: registry | None
    actor: ActorClass
    activity_cls: type[AuditLogActivity]
    transaction_cls: type[AuditLogTransaction]

    def mappers(self) -> frozenset[Mapper[Any]]:
        """Return the mappers of the application's models."""
        return mappers_of(self.models)

    def bind_arguments(self) -> dict[str, Any]:
        """Return what tells a session with several engines which of them has the trail."""
        for mapper in self.mappers():
            if isinstance(mapper.local_table, Table) and mapper.local_table.metadata is self.metadata:
                return {"mapper": mapper}
        for table in self.metadata.tables.values():
            if is_audited(table):
                return {"clause": table}
        return {}
