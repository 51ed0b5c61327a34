"""The trail over the years: its partitions, how long it is kept, what has to be kept longer, and who hears of it."""

from __future__ import annotations

from .holds import Hold, hold, holds, release
from .partitions import Partition, partitions, split
from .retention import Removal, retain

__all__ = ["Hold", "Partition", "Removal", "hold", "holds", "partitions", "release", "retain", "split"]
