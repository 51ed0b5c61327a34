"""``prove`` and ``verify-proof``: that an activity was sealed, for somebody without the database."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from sqlalchemy.orm import Session

from audit_core import HistoryError, read_digests
from audit_core import verify_proof as verified
from audit_core.seals import read_proof

from . import options
from .errors import NO
from .output import print_json, printable
from .source import Database, with_database

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command()
@click.argument("activity", type=int)
@with_database
def prove(database: Database, activity: int) -> None:
    """Write the proof that ACTIVITY, an id, was sealed as it is, with its transaction.

    It contains what was recorded, and nothing of other activities.
    """
    with Session(database.engine) as session:
        click.echo(json.dumps(database.audit_log.prove(session, activity), indent=1))


@click.command("verify-proof")
@click.argument("file", type=_FILE)
@click.option("--digests", type=_FILE, required=True, help="The digests that were kept.")
@click.option("--public-key", "public_keys", type=_FILE, multiple=True, help="Digests have to be signed with it.")
@click.option("--authority", "authorities", type=_FILE, multiple=True, help="Digests have to be stamped by it.")
@options.as_json
def verify_proof(
    file: Path, digests: Path, public_keys: tuple[Path, ...], authorities: tuple[Path, ...], as_json: bool
) -> None:
    """Verify a proof in FILE, without a database. If it proves nothing, the exit code is 1."""
    kept = read_digests(digests, public_keys, authorities)
    for finding in kept.findings:
        click.echo(printable(finding.message), err=True)
    try:
        proven = verified(read_proof(file.read_text(encoding="utf-8")), kept.by_seal)
    except HistoryError as error:
        if as_json:
            print_json({"is_proven": False, "reason": str(error)})
        else:
            click.echo(printable(f"Not proven: {error}"), err=True)
        raise click.exceptions.Exit(NO) from None
    if as_json:
        print_json({"is_proven": True, **asdict(proven)})
        return
    for title, fields in (("Activity", proven.activity), ("Transaction", proven.transaction)):
        click.echo(title)
        for name, value in fields.items():
            click.echo(printable(f"  {name}: {value}"))
    digests_said = ", ".join(map(str, proven.digests))
    click.echo(f"Proven: it is in seal {proven.seal}, as the digest of seal {digests_said} shows.")
