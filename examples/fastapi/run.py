"""Serve the notebook until Ctrl-C: `hatch run example-fastapi`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import uvicorn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.database import demo_database
from examples.ending import leave_at_signals

USAGE = """\
Notebook: {site}
  curl -X PUT {site}/notes/1 -H 'X-User: ann' -H 'Content-Type: application/json' -d '{{"text": "milk"}}'
  curl {site}/notes/1/history
  curl -X POST {site}/transactions/1/undo -H 'X-User: ben'
{site}/docs does the same in a browser. Ctrl-C stops it.
"""


@click.command()
@click.option("--port", default=8000, show_default=True, help="Of 127.0.0.1; 0 takes a free one.")
def main(port: int) -> None:
    """Serve the notebook on a database that is dropped in the end."""
    leave_at_signals()
    with demo_database() as database:
        os.environ["DATABASE_URL"] = database.url_text
        server = Server(uvicorn.Config("examples.fastapi.app:app", port=port, log_level="warning"))
        try:
            server.run()  # ends by itself at both signals, and then raises them again
        except KeyboardInterrupt:
            print("Stopped.")


class Server(uvicorn.Server):
    """A server that says where it is once it answers."""

    async def startup(self, sockets: list[object] | None = None) -> None:
        await super().startup(sockets)
        for each in self.servers:
            host, port = each.sockets[0].getsockname()[:2]
            print(USAGE.format(site=f"http://{host}:{port}"), flush=True)


if __name__ == "__main__":
    main()
