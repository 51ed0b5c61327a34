"""Run the demo: `hatch run demo`, or `hatch run demo --once` to stop at the end."""

from __future__ import annotations

import logging
import os
import secrets
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import click
from flask import Flask
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from sqlalchemy import func, select
from werkzeug.serving import make_server

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.database import SETTING, Database, demo_database
from examples.ending import leave_at_signals
from examples.errors import DemoError
from examples.flask.country_register import create_app
from examples.flask.country_register.iso3166 import former_countries, former_subdivisions
from examples.flask.country_register.models import audit_logger, db
from examples.flask.demo import edits, migration, past, trail

EMBEDDED = """\
PostgreSQL {version}, embedded: its data lies in {directory}
and is removed when the demo ends. On a server of your own:
  {setting}=postgresql+psycopg://user:password@host/database hatch run demo
or on the one that `docker compose up -d` starts:
  {setting}=postgresql+psycopg://audit:audit@localhost/audit hatch run demo
"""
OWN = """\
PostgreSQL {version} of {setting}. The demo uses a database of its own,
{name}, which is dropped when the demo ends.
"""


@click.command()
@click.option("--once", is_flag=True, help="Stop at the end, as without a terminal.")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=migration.ROOT / "demo-data",
    show_default="demo-data",
    help="Where the migrations are written.",
)
def main(once: bool, directory: Path) -> None:
    """Edit a register of the world's countries and print the audit trail."""
    leave_at_signals()
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 100
    console = Console(highlight=False, width=width)
    with demo_database() as database:
        run(console, database, directory, once=once)


def run(console: Console, database: Database, directory: Path, *, once: bool) -> None:
    """Go through the stages of the demo on an empty database.

    :raises DemoError: if the trail is not as it must be.
    """
    heading(console, "The database")
    describe(console, database)
    heading(console, "The migration")
    migrate(console, database, directory)

    app = create_app(
        {"SQLALCHEMY_DATABASE_URI": database.url_text, "SECRET_KEY": secrets.token_hex()},
    )
    with serve(app) as site:
        with app.app_context():
            heading(console, "The bulk load")
            steps = [edits.add_users(), load(console)]

            heading(console, f"The edits, over HTTP at {site}")
            steps += show(console, edits.edit_over_http(site))
            steps += show(console, iter([edits.edit_behind_the_application(database.url)]))

            heading(console, f"The trail of {date.today():%d %B %Y}")
            entries = trail.read_trail(db.session())
            console.print(trail.render(entries))
            check(console, entries, steps)

            heading(console, "What the trail answers")
            answer(console)
            db.session.remove()
        # A script has nobody who could press Ctrl-C.
        if not once and sys.stdin.isatty() and sys.stdout.isatty():
            wait(console, site, database)
        with app.app_context():
            db.engine.dispose()


def heading(console: Console, text: str) -> None:
    """Print the name of a stage."""
    console.print()
    console.rule(f"[bold]{escape(text)}", align="left", style="dim")


def describe(console: Console, database: Database) -> None:
    """Print which server is used and how to use another."""
    text = OWN if database.data_directory is None else EMBEDDED
    console.print(
        escape(
            text.format(
                version=database.version,
                directory=database.data_directory,
                setting=SETTING,
                name=database.url.database,
            ).rstrip()
        ),
        soft_wrap=True,
    )


def migrate(console: Console, database: Database, directory: Path) -> None:
    """Run the commands of Flask-Migrate and show what they did."""
    migrations = migration.prepare(directory)
    shown = migrations.relative_to(Path.cwd()) if migrations.is_relative_to(Path.cwd()) else migrations
    console.print(f"[dim]Each with --app examples.flask.country_register --directory {escape(str(shown))}")
    for arguments in (["init"], ["migrate", "-m", "Register"], ["upgrade"], ["check"]):
        console.print(f"[bold]$ {escape(shlex.join(['flask', 'db', *arguments]))}")
        for message in migration.flask_db(arguments, migrations, database.url_text):
            console.print(f"  [dim]{escape(message)}")
    path, source = migration.outline(migrations)
    console.print(f"[bold]upgrade() in {escape(str(shown / path.relative_to(migrations)))}", soft_wrap=True)
    console.print(Syntax(source, "python", theme="ansi_dark", background_color="default", word_wrap=True))


def load(console: Console) -> edits.Done:
    """Load the register with a progress bar."""
    console.print(f"In one transaction, by {edits.USERS[0][1]}: audit_context(actor_id=1, reason={edits.IMPORT!r})")
    total = len(former_countries()) + len(former_subdivisions())
    with Progress(
        TextColumn("Countries and subdivisions"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("", total=total)
        return edits.load_register(lambda rows: progress.advance(task, rows))


def show(console: Console, steps: Iterator[edits.Done]) -> Iterator[edits.Done]:
    """Print each step when it is done."""
    for step in steps:
        console.print(f"[green]✓[/] [dim]{escape(step.how):32}[/] {escape(step.text)}")
        yield step


def check(console: Console, entries: list[trail.Entry], steps: list[edits.Done]) -> None:
    """Compare the trail with what was done.

    :raises DemoError: if they differ.
    """
    differences = trail.compare(entries, [step.expected for step in steps if step.expected])
    if differences:
        raise DemoError("The trail is not as it must be:\n" + "\n".join(differences))
    activity = audit_logger.activity_cls
    count = db.session.scalar(select(func.count()).select_from(activity))
    console.print()
    console.print(
        f"[green]✓[/] {count:,} changes in {len(entries)} transactions: "
        "all that was done, each with who did it, and no more."
    )
    for step in steps:
        if step.expected is None:
            console.print(f"[green]✓[/] Not in it: {escape(step.text)}.")


def answer(console: Console) -> None:
    """Ask for the history of a record and for an earlier state, and take a transaction back.

    :raises DemoError: if it is not back afterwards.
    """
    session = db.session()
    console.print(f"[bold]audit_logger.history(Country, {past.RENAMED!r})[/], newest first:\n")
    entries = past.history(session)
    console.print(trail.render(entries))
    when, country = past.earlier(session, entries)
    console.print(f"\n[bold]audit_logger.get_as_of(session, Country, {past.RENAMED!r}, when)[/] at {when:%H:%M:%S.%f}:")
    console.print(f"  {escape(country.name)}, {escape(str(country.official_name))}")

    plan = past.plan_undo(session)
    console.print(f"\n[bold]plan = audit_logger.plan_undo(session, transaction)[/] of the merge into {past.NEW}:")
    console.print(past.render_plan(plan))
    console.print(f"[bold]plan.apply()[/], by {edits.USERS[0][1]}:")
    for line in past.describe(past.undo(session, plan)):
        console.print(f"  {escape(line)}")


@contextmanager
def serve(app: Flask) -> Iterator[str]:
    """Serve the application on a free port of 127.0.0.1, in a thread; yield its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait(console: Console, site: str, database: Database) -> None:
    """Leave the application to the person until Ctrl-C."""
    heading(console, "Now you")
    console.print(
        f"[bold]{site}/audit/[/] shows the trail to whoever is logged in, "
        f"[bold]{site}[/] each country with its history."
    )
    console.print("Log in, edit, and take it back:")
    for login, name, password in edits.USERS:
        console.print(f"  {name}: login [bold]{login}[/], password [bold]{password}[/]")
    if database.data_directory is not None:
        console.print(f"psql '{escape(database.url_text)}'".replace("+psycopg", ""), soft_wrap=True)
    console.print("Ctrl-C stops it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("\nStopped.")


if __name__ == "__main__":
    main()
