"""Activities as JSON lines and as CloudEvents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from audit_core import AuditLogActivity
from audit_core.exporting.json import dump

from .description import activity_json

FORMATS = ("json", "cloudevents")


class Format(ABC):
    """How activities are written."""

    content_type: str

    @staticmethod
    def named(name: str, source: str) -> Format:
        """Return one of ``FORMATS``."""
        return CloudEvents(source) if name == "cloudevents" else JsonLines()

    @abstractmethod
    def event(self, activity: AuditLogActivity) -> dict[str, Any]:
        """Describe one activity."""

    def lines(self, activities: Iterable[AuditLogActivity]) -> bytes:
        """Write one line for each."""
        return "".join(f"{dump(self.event(activity))}\n" for activity in activities).encode()

    def body(self, activities: Iterable[AuditLogActivity]) -> bytes:
        """Write all as the body of a request."""
        return self.lines(activities)


class JsonLines(Format):
    """As ``log --json`` prints them, but for the name of the actor: what is sent again has to be the same."""

    content_type = "application/x-ndjson"

    def event(self, activity: AuditLogActivity) -> dict[str, Any]:
        return activity_json(activity)


class CloudEvents(Format):
    """CloudEvents 1.0 in JSON, with the extensions ``sequence`` and ``partitionkey``."""

    content_type = "application/cloudevents-batch+json"

    def __init__(self, source: str) -> None:
        self.source = source

    def event(self, activity: AuditLogActivity) -> dict[str, Any]:
        table = f"{activity.schema}.{activity.table_name}"
        subject = table if activity.row_key is None else f"{table}/{activity.row_key}"
        return {
            "specversion": "1.0",
            "id": str(activity.id),
            "source": self.source,
            "type": f"audit.{activity.verb}",
            "subject": subject,
            "time": activity.issued_at,
            "datacontenttype": "application/json",
            # Texts in the order of the changes, and what has to stay in order where there are several queues.
            "sequence": f"{activity.id:020d}",
            "partitionkey": subject,
            "data": activity_json(activity),
        }

    def body(self, activities: Iterable[AuditLogActivity]) -> bytes:
        return f"[{', '.join(dump(self.event(activity)) for activity in activities)}]".encode()
