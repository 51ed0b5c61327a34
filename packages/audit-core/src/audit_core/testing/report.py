"""What was recorded, as the message of a failed assertion shows it."""

from __future__ import annotations

from collections.abc import Sequence

from .change import Change

_MOST = 20
_WIDTH = 60


def report(recorded: Sequence[Change]) -> str:
    """Write a line for each change, and one for each of its columns."""
    if not recorded:
        return "Nothing was recorded. Is the table audited, and its trail installed after create_all()?"
    lines = ["What was recorded:"]
    for change in recorded[:_MOST]:
        who = "nobody" if change.actor_id is None else change.actor_id
        lines.append(f"  {change.activity.id}  {change.verb} {change.table} {change.key}, by {who}")
        lines += [f"      {name}: {_short(old)} -> {_short(new)}" for name, (old, new) in change.values.items()]
    if len(recorded) > _MOST:
        lines.append(f"  and {len(recorded) - _MOST} more")
    return "\n".join(lines)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
