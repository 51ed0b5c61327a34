"""The page: what is recorded, in a browser."""

from .access import Access
from .blueprint import init_page
from .naming import Naming

__all__ = ["Access", "Naming", "init_page"]
