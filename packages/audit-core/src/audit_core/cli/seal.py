"""``seal``: hashes over what is recorded, and their digests where the owner of the database cannot reach."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path

import click

from audit_core import Digest, MaintenanceError, Seal
from audit_core.seals import sign, stamp

from . import options
from .errors import INTERRUPTED, CommandError
from .output import print_json, printable
from .source import Database, with_database

_UNITS = {"s": 1, "m": 60, "h": 3600}


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if not number.isdigit() or unit not in _UNITS or not int(number):
        raise click.BadParameter("write a number with s, m or h, such as 60s")
    return int(number) * _UNITS[unit]


@click.command()
@click.option("--digests", type=click.Path(path_type=Path, dir_okay=False), help="Append the newest digest to it.")
@click.option("--anchor-command", metavar="COMMAND", help="Run this with the newest digest as its standard input.")
@click.option(
    "--sign-key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Sign the digest with this Ed25519 key, in PEM.",
)
@click.option("--timestamp-url", metavar="URL", help="Have this authority stamp the digest, as RFC 3161 has it.")
@click.option("--every", metavar="PERIOD", type=_seconds, help="Go on, and seal every so often: 60s, 10m, 1h.")
@options.as_json_lines
@with_database
def seal(
    database: Database,
    digests: Path | None,
    anchor_command: str | None,
    sign_key: Path | None,
    timestamp_url: str | None,
    every: float | None,
    as_json: bool,
) -> None:
    """Seal what is recorded and not sealed yet, so that any change of it can be proved.

    Seals prove nothing against somebody who can write all tables of the trail and makes new ones. Keep their digests
    elsewhere: in a file on another machine, in a repository, with a time stamp authority. What could not be kept is
    tried again with the next seal, and this ends with 1.
    """
    anchor = _Anchor(digests, anchor_command, sign_key, timestamp_url)
    try:
        while True:
            _seal_once(database, anchor, as_json, is_repeated=every is not None)
            if every is None:
                return
            time.sleep(every)
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def _seal_once(database: Database, anchor: _Anchor, as_json: bool, *, is_repeated: bool) -> None:
    log = database.audit_log
    try:
        made = log.seal(database.engine, progress=lambda each: _show(each, as_json))
        newest = log.newest_to_anchor(database.engine) if anchor.is_wanted else None
        if newest is not None:
            places = anchor.keep(newest)
            log.mark_anchored(database.engine, newest, places)
            if not as_json:
                click.echo(f"Digest of seal {newest.number}: {newest.hash.hex()}, kept in {places}", err=True)
    except (CommandError, MaintenanceError) as error:
        if not is_repeated:
            raise
        click.echo(f"Error: {printable(str(error))}", err=True)
        return
    if not made and not as_json and not is_repeated:
        click.echo("Nothing is left to be sealed.", err=True)


def _show(each: Seal, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "seal": each.number,
                "activities": each.activity_count,
                "transactions": each.transaction_count,
                "from": each.from_id,
                "to": each.to_id,
                "hash": each.hash.hex(),
            }
        )
    else:
        click.echo(
            f"Seal {each.number}: {each.activity_count} activities, {each.from_id} to {each.to_id}, and "
            f"{each.transaction_count} transactions"
        )


class _Anchor:
    """Where the digest of the newest seal goes."""

    def __init__(
        self, digests: Path | None, command: str | None, sign_key: Path | None, timestamp_url: str | None
    ) -> None:
        self._digests = digests
        self._command = command
        self._sign_key = sign_key
        self._timestamp_url = timestamp_url
        if (sign_key or timestamp_url) and not self.is_wanted:
            raise CommandError("Where is the digest to be kept? Give --digests or --anchor-command.")

    @property
    def is_wanted(self) -> bool:
        return self._digests is not None or self._command is not None

    def keep(self, newest: Seal) -> str:
        """Keep the digest, and say where it is."""
        digest = Digest.of(newest)
        if self._sign_key is not None:
            digest = sign(digest, self._sign_key)
        if self._timestamp_url is not None:
            digest = stamp(digest, self._timestamp_url)
        places = []
        if self._command is not None:
            self._run(self._command, digest)
            places.append(shlex.split(self._command)[0])
        if self._digests is not None:
            self._append(self._digests, digest)
            places.append(str(self._digests))
        return ", ".join(places)

    def _run(self, command: str, digest: Digest) -> None:
        try:
            done = subprocess.run(shlex.split(command), input=digest.line(), text=True, check=False, timeout=300)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise CommandError(f"{command!r} did not keep the digest of seal {digest.seal}: {error}") from None
        if done.returncode:
            raise CommandError(
                f"{command!r} ended with {done.returncode}: the digest of seal {digest.seal} is not kept there. The "
                "seal stays; the next run tries it again."
            )

    def _append(self, path: Path, digest: Digest) -> None:
        try:
            with path.open("a", encoding="ascii") as file:
                file.write(digest.line())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise CommandError(f"The digest of seal {digest.seal} cannot be written: {error}") from None
