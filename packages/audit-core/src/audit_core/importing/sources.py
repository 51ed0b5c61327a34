"""Which trails can be imported, by name."""

from __future__ import annotations

from ..errors import ConfigurationError
from .audit_tables import FlaskAuditLogger1, FlaskAuditLogger2, PostgreSQLAudit
from .continuum import SQLAlchemyContinuum
from .source import Source

#: Those that are tables in the same database.
SOURCES: dict[str, type[Source]] = {
    each.name: each for each in (FlaskAuditLogger2, FlaskAuditLogger1, PostgreSQLAudit, SQLAlchemyContinuum)
}


def find_source(name: str, schema: str) -> Source:
    """Return the trail of a kind in a schema.

    :raises ConfigurationError: if this kind is not known.
    """
    try:
        return SOURCES[name](schema)
    except KeyError:
        raise ConfigurationError(
            f"{name!r} is not known as a source; those that are: {', '.join(SOURCES)}. Anything else can be written as "
            "rows: see audit-log import --format jsonl."
        ) from None
