"""``check``: is everything recorded as it should be?"""

from __future__ import annotations

from dataclasses import asdict

import click

from . import options
from .errors import NO
from .output import print_json, printable
from .source import TrailSource


@click.command()
@options.as_json
@click.pass_obj
def check(source: TrailSource, as_json: bool) -> None:
    """List what is not recorded or protected as it should be.

    If it finds any, the exit code is 1.
    """
    problems = list(source.problems())
    if as_json:
        print_json({"problems": list(map(asdict, problems))})
    else:
        for problem in problems:
            click.echo(printable(problem.message))
        if not problems:
            click.echo("Everything is recorded as it should be.")
    if problems:
        raise click.exceptions.Exit(NO)
