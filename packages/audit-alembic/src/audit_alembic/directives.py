"""The hook for ``process_revision_directives`` in an ``env.py``."""

from __future__ import annotations

import logging
from typing import Any

log = logging.getLogger("alembic.env.audit_logger")


def process_revision_directives(
    context: Any, revision: Any, directives: list[Any], *, engines: int | None = None
) -> None:
    """Write no migration when autogenerate found nothing to do.

    The operations of the audit trail are added without this hook. It stands where Flask-Migrate's ``env.py``
    would put its own.

    :param engines: how many databases the ``env.py`` goes through, if several: nothing is decided before the last
        one, and nothing at all if their number is not known.
    """
    command = context.config.cmd_opts
    if not directives or not getattr(command, "autogenerate", False):
        return
    script = directives[0]
    # With one database the token is "upgrades"; Flask-Migrate's --multidb puts the bind's name before it.
    several = script.upgrade_ops_list[0].upgrade_token != "upgrades"
    if several and (engines is None or len(script.upgrade_ops_list) < engines):
        return
    if all(upgrade_ops.is_empty() for upgrade_ops in script.upgrade_ops_list):
        directives[:] = []
        log.info("No changes in schema detected.")
