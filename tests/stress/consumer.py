"""A consumer of a stream as a program of its own, which may be killed: ``URL KIND FILE``.

KIND is ``file``, whose work is to write ids into the file, or ``table``, whose work is in the database. It ends when
there is a file FILE.stop and all has been read.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from tests.stress.app import audit_log


def main(url: str, kind: str, path: Path) -> None:
    engine = create_engine(url)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        is_last = path.with_suffix(".stop").exists()
        try:
            stream = audit_log.stream(engine, kind, start="beginning", batch=20, interval=0.05)
            for batch in stream.batches(wait=not is_last):
                if kind == "table":
                    with engine.begin() as connection:
                        rows = [{"id": activity.id, "actor": activity.transaction.actor_id} for activity in batch]
                        connection.execute(text("INSERT INTO copied VALUES (:id, :actor)"), rows)
                        batch.acknowledge(connection)
                else:
                    os.write(log, "".join(f"got {activity.id}\n" for activity in batch).encode())
                    batch.acknowledge()
                    os.write(log, f"acknowledged {batch[-1].id}\n".encode())
                if not is_last and path.with_suffix(".stop").exists():
                    break
        except DBAPIError:
            # The server is away.
            engine.dispose()
            time.sleep(0.05)
            continue
        if is_last:
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
