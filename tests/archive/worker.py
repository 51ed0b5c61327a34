"""Archives, says each step, and is killed after one of them: ``python -m tests.archive.worker URL TO STEP``."""

from __future__ import annotations

import os
import signal
import sys

from sqlalchemy import create_engine

from tests.archive.trail import audit_log


def main() -> None:
    url, to, place = sys.argv[1:]
    engine = create_engine(url)
    audit_log.attach(engine)
    passed = 0

    def progress(step: str, partition: str) -> None:
        nonlocal passed
        print(step, partition, flush=True)
        if passed == int(place):
            os.kill(os.getpid(), signal.SIGKILL)
        passed += 1

    audit_log.archive(engine, to, older_than="1y", drop=True, progress=progress)


if __name__ == "__main__":
    main()
