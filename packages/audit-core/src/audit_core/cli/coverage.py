"""``coverage``: when recording of the tables began, changed and ended."""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy.orm import Session

from . import options
from .output import Listing, print_json, value_text
from .source import Database, with_database

_COLUMNS = ("time", "table", "event", "since", "records", "options", "rows", "by")


@click.command()
@click.argument("table", required=False)
@options.as_json
@with_database
def coverage(database: Database, table: str | None, as_json: bool) -> None:
    """List when recording of the tables, or of one, began, changed and ended.

    A gap is where triggers were found altered or missing: from the time in "since" on, changes may not be recorded.
    """
    with Session(database.engine) as session:
        rows = [dict(row) for row in session.execute(database.audit_log.coverage(table)).mappings()]
    if as_json:
        print_json({"coverage": rows})
        return
    listing = Listing(*_COLUMNS, right=("rows",))
    listing.add(_cells(row) for row in rows)
    if not rows:
        click.echo("Nothing was ever recorded.", err=True)


def _cells(row: dict[str, Any]) -> list[str]:
    rows = "" if row["row_count"] is None else f"{'' if row['row_count_is_exact'] else 'about '}{row['row_count']}"
    return [
        row["issued_at"].isoformat(),
        f"{row['schema']}.{row['table_name']}",
        row["event"],
        "" if row["since"] is None else row["since"].isoformat(),
        ", ".join(row["operations"]),
        ", ".join(value_text(each) for each in row["arguments"]),
        rows,
        " ".join(filter(None, (row["actor_id"], row["db_user"], row["application_name"]))),
    ]
