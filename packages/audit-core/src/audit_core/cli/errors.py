"""Mistakes of the caller, and the codes with which commands end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from audit_core.errors import AuditError
from audit_core.undo.refusals import headline

from .output import printable

#: The answer is "no".
NO = 1
#: As when SIGINT or SIGPIPE end a program.
INTERRUPTED, PIPE_CLOSED = 130, 141

EXIT_CODES = """\b
Exit codes:
  0  fine
  1  the answer is "no": problems, conflicts, a row that was gone
  2  wrong usage: an unknown table, key, transaction, time or option,
     or a database that does not answer or has no trail
  130, 141  ended by Ctrl-C, by a closed pipe"""


class CommandError(click.ClickException):
    """What the caller has to put right, in one line."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        # It may quote the database, and the database what somebody wrote.
        super().__init__(printable(message))


@contextmanager
def mistakes_in_one_line() -> Iterator[None]:
    """Turn the errors that a user can correct into one line, and end quietly when nobody reads the output any more."""
    try:
        yield
    except AuditError as error:
        raise CommandError(_one_line(error)) from None
    except (OperationalError, InterfaceError) as error:
        raise CommandError(f"The database does not answer: {headline(error)}") from None
    except DBAPIError as error:
        raise CommandError(f"The database refuses: {headline(error)}") from None
    except BrokenPipeError:
        # Python flushes the stream once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(PIPE_CLOSED) from None


def _one_line(error: BaseException | None) -> str:
    return " ".join(str(error).split())
