"""``stream``: activities for other programs, each once it is committed, from where the consumer acknowledged last."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import asdict
from typing import Any

import click
from sqlalchemy.orm import Session

from . import times
from .errors import INTERRUPTED, CommandError
from .output import Listing, print_json, value_text
from .source import Database, with_database
from .stream_formats import FORMATS, Format
from .stream_sinks import Http, Output, Sink
from .times import read_time, shown

#: What signs the requests.
SECRET = "AUDIT_STREAM_SECRET"

_COLUMNS = ("name", "last id", "behind", "waiting since", "acknowledged", "problem")


def _start(text: str) -> str | dt.datetime:
    return text if text in ("now", "beginning") else read_time(text)


@click.command(epilog=times.HELP)
@click.argument("name", required=False)
@click.option("--list", "is_list", is_flag=True, help="List the consumers, and how far they have read.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON.")
@click.option("--remove", is_flag=True, help="Forget the consumer NAME.")
@click.option("--notify", type=click.Choice(["on", "off"]), help="Let commits wake streams with --wake-up, or not.")
@click.option(
    "--start",
    metavar="TIME",
    type=_start,
    default="now",
    show_default=True,
    help="Where a consumer begins that is new; also: beginning.",
)
@click.option("--table", "tables", metavar="NAME", multiple=True, help="Only this table; may be repeated.")
@click.option("--format", "format_", type=click.Choice(FORMATS), default="json", show_default=True)
@click.option("--to", "url", metavar="URL", help="Send them there by POST; otherwise they go to the standard output.")
@click.option(
    "--attempts",
    metavar="N",
    type=click.IntRange(min=1),
    help="Give up after so many attempts to send; without it, never.",
)
@click.option(
    "--source",
    "event_source",
    metavar="URI",
    help="The source of CloudEvents.  [default: /audit/DATABASE/SCHEMA]",
)
@click.option(
    "--batch", metavar="N", type=click.IntRange(1, 10_000), default=500, show_default=True, help="At most N at a time."
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(min=0.05),
    default=1.0,
    show_default=True,
    help="Time between two looks.",
)
@click.option("--wake-up", is_flag=True, help="Look at each commit, where --notify is on.")
@click.option("--once", is_flag=True, help="End when all that is certain has been read.")
@click.option("--go-on", is_flag=True, help="Go on in a database that was restored from another.")
@with_database
def stream(database: Database, name: str | None, is_list: bool, as_json: bool, **given: Any) -> None:
    """Hand on each committed activity, in order, to the consumer NAME.

    What it has taken is acknowledged and never comes again: a line when it is written, a request when it is answered
    with a status of 200 to 299. What was not acknowledged when this ends comes again.

    Each request has a header webhook-id, which is the same when it is sent again. If the environment variable
    AUDIT_STREAM_SECRET is set, webhook-signature proves who sent it, as standardwebhooks.com has it.
    """
    log = database.audit_log
    remove, notify = given.pop("remove"), given.pop("notify")
    if is_list:
        _list(database, as_json)
    elif notify is not None:
        with Session(database.engine) as session, session.begin():
            log.wake_streams(session, on=notify == "on")
    elif name is None:
        raise CommandError("Which consumer? Give its NAME, or --list.")
    elif remove:
        with Session(database.engine) as session, session.begin():
            log.remove_stream(session, name)
    else:
        try:
            _hand_on(database, name, **given)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


def _list(database: Database, as_json: bool) -> None:
    with Session(database.engine) as session:
        states = database.audit_log.streams(session)
    if as_json:
        print_json({"streams": [{**asdict(state), "problem": state.problem} for state in states]})
        return
    listing = Listing(*_COLUMNS, right=("last id", "behind"))
    listing.add(
        [
            value_text(state.name),
            str(state.last_id),
            str(state.behind),
            "-" if state.waiting_since is None else shown(state.waiting_since),
            "never" if state.acknowledged_at is None else shown(state.acknowledged_at),
            state.problem or "",
        ]
        for state in states
    )
    if not states:
        click.echo("Nobody reads along.", err=True)


def _hand_on(
    database: Database,
    name: str,
    *,
    tables: tuple[str, ...],
    format_: str,
    url: str | None,
    attempts: int | None,
    event_source: str | None,
    once: bool,
    **how: Any,
) -> None:
    log = database.audit_log
    source = event_source or f"/audit/{database.engine.url.database}/{log.schema}"
    written = Format.named(format_, source)
    sink: Sink = Output() if url is None else Http(url, os.environ.get(SECRET), attempts)
    stream = log.stream(database.engine, name, tables=tables or None, **how)
    for batch in stream.batches(wait=not once):
        if url is None:
            sink.send(f"{name}-{batch[-1].id}", written.lines(batch), "")
        else:
            sink.send(f"{name}-{batch[0].id}-{batch[-1].id}", written.body(batch), written.content_type)
        batch.acknowledge()
