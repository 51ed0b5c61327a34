"""JSON as the commands print it."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any

from audit_core.reading.values import ExactFloat

# A terminal takes these for commands, and some readers of lines for the end of one.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class JsonText(str):
    """A value that is JSON already."""


def dump(value: Any) -> str:
    """Write a value as JSON in one line; numbers keep all their digits."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", _written(value))


def _written(value: Any) -> str:
    if isinstance(value, JsonText):
        return value
    if isinstance(value, ExactFloat):
        return value.text
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(str(name), ensure_ascii=False)}: {_written(value[name])}" for name in value)
            + "}"
        )
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, dt.datetime):
        value = value.astimezone(dt.timezone.utc).isoformat()
    return json.dumps(value, ensure_ascii=False, default=str)
