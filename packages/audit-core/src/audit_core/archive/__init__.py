"""The archive: closed partitions as tables of Apache Iceberg, outside of the database.

What is imported here needs nothing but SQLAlchemy. What needs PyIceberg, the extra ``audit-core[archive]``, is imported
when it is used.
"""

from __future__ import annotations

from .outcome import Archived
from .timeline import Timeline

__all__ = ["Archived", "Timeline"]
