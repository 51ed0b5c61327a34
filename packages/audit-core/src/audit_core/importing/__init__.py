"""The history that another audit trail recorded, as activities before the first own one."""

from __future__ import annotations

from .outcome import Imported, Skipped
from .run import Renamed, import_trail, import_within
from .source import Source
from .sources import SOURCES, find_source

__all__ = ["SOURCES", "Imported", "Renamed", "Skipped", "Source", "find_source", "import_trail", "import_within"]
