"""What a visitor asks of the log, read from the address."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Mapping
from typing import Any

from audit_core import AuditLog, HistoryError
from audit_core.siblings import LAST_ID, VERBS, find_table, parse_actor, scope_of

from .zones import Zone

#: The fields of the form.
FIELDS = ("actor", "table", "column", "verb", "since", "until", "text", "request_id", "client_addr", "transaction")
#: Says of which zone the times are that do not say so themselves.
ZONE = "zone"
#: Those that are only said to hold.
FLAGS = ("nobody", "reads")
#: The years that a time may be of: Python has no day before the first or after the last that there is.
_YEARS = range(1900, 9001)


def given(args: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that were filled in."""
    found = {name: args[name].strip() for name in (*FIELDS, *FLAGS) if args.get(name, "").strip()}
    if args.get(ZONE) and ("since" in found or "until" in found):
        found[ZONE] = args[ZONE]
    return found


def arguments(log: AuditLog, fields: Mapping[str, str], zone: Zone) -> dict[str, Any]:
    """Turn the fields into arguments of ``activities()``.

    :raises HistoryError: if one of them cannot be understood.
    """
    found: dict[str, Any] = {name: fields[name] for name in ("column", "verb", "text") if name in fields}
    if "reads" in fields:
        found.setdefault("verb", list(VERBS))
    if "table" in fields:
        found["table"] = _table(log, fields["table"])
    if "actor" in fields:
        found["actor"] = parse_actor(scope_of(log), fields["actor"])
    elif "nobody" in fields:
        found["actor"] = None
    found |= {name: moment(fields[name], name, zone) for name in ("since", "until") if name in fields}
    if "request_id" in fields:
        found["meta"] = {"request_id": fields["request_id"]}
    if "client_addr" in fields:
        found["client_addr"] = network(fields["client_addr"])
    if "transaction" in fields:
        found["transaction"] = number(fields["transaction"], "transaction")
    return found


def network(text: str) -> str:
    """Read an address, or a network such as 192.0.2.0/24.

    :raises HistoryError: if it is neither.
    """
    try:
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise HistoryError(
            f"client_addr is {text!r}; write an address as 192.0.2.7, or a network as 192.0.2.0/24."
        ) from None


def moment(text: str, name: str, zone: Zone) -> dt.datetime:
    """Read a time; that of a zone if it does not say its offset from UTC.

    :raises HistoryError: if it is none.
    """
    text = text.strip()
    try:
        found = dt.datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise HistoryError(f"{name} is {text!r}, which is not a time; write it as 2031-12-24T18:30.") from None
    if found.year not in _YEARS:
        raise HistoryError(f"{name} is {text!r}; give a year from {_YEARS[0]} to {_YEARS[-1]}.")
    return found if found.tzinfo else found.replace(tzinfo=zone.info)


def field_time(text: str, zone: Zone) -> str:
    """Write a time of the address as a field takes it, which knows no offset."""
    try:
        return zone.local(moment(text, "", zone)).replace(tzinfo=None).isoformat()
    except HistoryError:
        return text


def number(text: str, name: str) -> int:
    """Read the id of an activity or a transaction.

    :raises HistoryError: if it is none.
    """
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 19 or int(digits) > LAST_ID:
        raise HistoryError(f"{name} is {text!r}, which is not an id; ids are whole numbers.")
    return int(text)


def _table(log: AuditLog, name: str) -> Any:
    """Take the name of a table that is gone as it is."""
    try:
        return find_table(scope_of(log), name)
    except HistoryError:
        if name in {table.name for table in log.metadata.tables.values()}:
            raise
        return name
