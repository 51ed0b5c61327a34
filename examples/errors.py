"""How the demo says that it cannot go on."""

from __future__ import annotations

import click


class DemoError(click.ClickException):
    """Printed as one line; the demo exits with 1."""
