"""Can the trail be believed? What a person who doubts it wants to know."""

from .continuity import verify
from .finding import Finding

__all__ = ["Finding", "verify"]
