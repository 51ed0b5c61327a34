"""What can go wrong, said in a way that names the thing and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class AuditError(Exception):
    """Base of every error that this library raises."""


class ConfigurationError(AuditError, ValueError):
    """A setting, a table or a schema cannot be used as it stands."""


class ContextError(AuditError, ValueError):
    """An actor, a client address or a piece of meta data cannot be stored."""


class UnsupportedDatabaseError(AuditError, RuntimeError):
    """The database is not PostgreSQL 14 or later."""


class MaintenanceError(AuditError, RuntimeError):
    """The trail could not be split, shortened or archived; nothing was lost."""


class HistoryError(AuditError, ValueError):
    """The trail cannot answer what was asked of it."""


class UndoConflictError(HistoryError):
    """Changes cannot be taken back as they are; ``conflicts`` says which and why."""

    def __init__(self, conflicts: Sequence[Any]) -> None:
        self.conflicts = tuple(conflicts)
        shown = "; ".join(each.message for each in self.conflicts[:3])
        more = f"; and {len(self.conflicts) - 3} more" if len(self.conflicts) > 3 else ""
        super().__init__(
            f"Nothing was undone because of {len(self.conflicts)} conflicts: {shown}{more}. Leave them out with "
            "on_conflict='skip', or resolve them first."
        )


class StreamError(AuditError, RuntimeError):
    """A stream of activities cannot go on as it is."""


class ContextWarning(UserWarning):
    """What is said about who makes a change does not reach the database."""


class HistoryWarning(UserWarning):
    """An answer of the trail may be wrong."""


class ProtectionWarning(UserWarning):
    """The trail is not protected from others as it should be."""
