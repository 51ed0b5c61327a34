"""The page: what is recorded, in a browser."""

from .access import Access
from .blueprint import init_page
from .naming import Naming
from .zones import Zones

__all__ = ["Access", "Naming", "Zones", "init_page"]
