"""The page: what is recorded, in a browser."""

from .blueprint import init_page

__all__ = ["init_page"]
