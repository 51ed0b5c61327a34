"""The hook for ``process_revision_directives`` in an ``env.py``."""

from __future__ import annotations

import logging
from typing import Any

from alembic.operations.ops import MigrationScript

log = logging.getLogger("alembic.env.audit_logger")


def process_revision_directives(
    context: Any, revision: Any, directives: list[Any], *, engines: int | None = None
) -> None:
    """Write no migration when autogenerate found nothing to do.

    The operations of the audit trail are added without this hook. Use it where Flask-Migrate's ``env.py``
    has its own.

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
    if _is_empty(script):
        script.__class__ = _Undecided
        script.directives = directives


class _Undecided(MigrationScript):
    """A script that is not written if it is still empty when all hooks have run.

    Another hook that runs after this one, such as that of Flask-Migrate's ``env.py``, looks at the first script, so it
    cannot be taken away before. Alembic says that it is done with the hooks by marking each script for rendering.
    """

    directives: list[Any]

    @property
    def _needs_render(self) -> bool:
        return True

    @_needs_render.setter
    def _needs_render(self, value: bool) -> None:
        if _is_empty(self):
            self.directives.remove(self)
            log.info("No changes in schema detected.")


def _is_empty(script: MigrationScript) -> bool:
    return all(upgrade_ops.is_empty() for upgrade_ops in script.upgrade_ops_list)
