"""What is wrong with the user's input is said as Alembic's commands say it: in one line, without a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic.util import CommandError
from audit_core import AuditError


class AuditCommandError(AuditError, CommandError):
    """What was wrong in a command, for those who catch our errors and for the command, which catches Alembic's."""


@contextmanager
def command_errors() -> Iterator[None]:
    """Turn our errors into those of a command, with ours as the cause."""
    try:
        yield
    except AuditError as error:
        raise AuditCommandError(str(error)) from error
