"""JSON as the commands print it."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from typing import Any

from audit_core.reading.values import dump_json

# A terminal takes these for commands, and some readers of lines for the end of one.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def dump(value: Any) -> str:
    """Write a value as JSON in one line; numbers keep all their digits, and times are those of UTC."""
    # Of what is nested too deeply, dump_json() says so.
    with suppress(RecursionError):
        value = _in_utc(value)
    return escape(dump_json(value))


def escape(text: str) -> str:
    """Write JSON so that it is one line, and no command, for whatever reads it."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _in_utc(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _in_utc(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return list(map(_in_utc, value))
    return value.astimezone(dt.timezone.utc).isoformat() if isinstance(value, dt.datetime) else value
