"""The group of commands that ``audit-log`` and ``flask audit`` have in common."""

from __future__ import annotations

from typing import Any

import click

from .archive import archive, unarchive
from .check import check
from .coverage import coverage
from .erase import erase, subject
from .errors import EXIT_CODES, mistakes_in_one_line
from .export import export
from .hold import hold
from .import_ import import_
from .log import log
from .partitions import partitions
from .prove import prove, verify_proof
from .retain import retain
from .row import as_of, history
from .seal import seal
from .stats import stats
from .stream import stream
from .transaction import show, undo
from .verify import verify
from .who import who


class AuditGroup(click.Group):
    """Every command of the trail, as a group; its ``obj`` in click, a ``TrailSource``, says where the trail is."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        reading = (history, who, log, show, as_of, stats, export, stream, coverage, subject)
        proving = (check, verify, seal, prove, verify_proof)
        commands = (*reading, *proving, undo, erase, partitions, retain, archive, unarchive, hold, import_)
        kwargs.setdefault("commands", commands)
        kwargs.setdefault("epilog", EXIT_CODES)
        super().__init__(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with mistakes_in_one_line():
            return super().invoke(ctx)
