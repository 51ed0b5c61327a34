"""Can the trail be believed? What a person who doubts it wants to know."""

from .continuity import Finding, verify

__all__ = ["Finding", "verify"]
