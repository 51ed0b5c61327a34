"""An audit trail for PostgreSQL tables used through SQLAlchemy."""

from importlib.metadata import version

from .archive import Archived, Timeline
from .audit_log import AuditLog
from .capture.context import audit_context
from .errors import (
    AuditError,
    ConfigurationError,
    ContextError,
    ContextWarning,
    HistoryError,
    HistoryWarning,
    MaintenanceError,
    ProtectionWarning,
    StreamError,
    UndoConflictError,
    UnsupportedDatabaseError,
)
from .importing import Imported, Skipped
from .installation.checking import Problem
from .lifecycle import Hold, Partition, Removal
from .lifecycle.stream import Stream, StreamBatch
from .lifecycle.stream_cursor import StreamState
from .mixin import Audited
from .models import AuditLogActivity, AuditLogTransaction
from .proof import Finding
from .reading import AsOf, notes
from .seals import Digest, Digests, Erasure, Proven, SealFinding, read_digests, verify_proof
from .seals.canonical import Seal
from .undo import Conflict, UndoPlan, UndoStep

__all__ = [
    "Archived",
    "AsOf",
    "AuditError",
    "AuditLog",
    "AuditLogActivity",
    "AuditLogTransaction",
    "Audited",
    "ConfigurationError",
    "Conflict",
    "ContextError",
    "ContextWarning",
    "Digest",
    "Digests",
    "Erasure",
    "Finding",
    "HistoryError",
    "HistoryWarning",
    "Hold",
    "Imported",
    "MaintenanceError",
    "Partition",
    "Problem",
    "ProtectionWarning",
    "Proven",
    "Removal",
    "Seal",
    "SealFinding",
    "Skipped",
    "Stream",
    "StreamBatch",
    "StreamError",
    "StreamState",
    "Timeline",
    "UndoConflictError",
    "UndoPlan",
    "UndoStep",
    "UnsupportedDatabaseError",
    "audit_context",
    "notes",
    "read_digests",
    "verify_proof",
]

__version__ = version("audit-core")
