"""What can go wrong, said in a way that names the thing and what to do."""


class AuditError(Exception):
    """Base of every error that this library raises."""


class ConfigurationError(AuditError, ValueError):
    """A setting, a marked table or a schema cannot be audited as it stands."""


class ContextError(AuditError, ValueError):
    """An actor, a client address or a piece of meta data cannot be stored."""


class UnsupportedDatabaseError(AuditError, RuntimeError):
    """The database is not PostgreSQL 14 or later."""
