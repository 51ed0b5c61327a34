"""What needs the extra ``audit-core[archive]``, and the error where it is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import ConfigurationError

_PACKAGES = ("pyiceberg", "pyarrow", "pyiceberg_core")


def imported(name: str) -> ModuleType:
    """Import a module of the archive.

    :raises ConfigurationError: if PyIceberg or what it needs is not installed.
    """
    try:
        importlib.import_module("pyiceberg_core")
        return importlib.import_module(f".{name}", __package__)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES:
            raise
        raise ConfigurationError(f'The archive needs {package!r}. Run: pip install "audit-core[archive]"') from None
