"""Leave an example as it should be left, whichever signal ends it."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading

#: The process id of `hatch run`, as the scripts in hatch.toml give it.
STARTED_BY = "AUDIT_STARTED_BY"


def leave_at_signals() -> None:
    """Leave through the with blocks at SIGTERM, so that the database goes, too; and when `hatch run` is gone.

    Hatch hands no signal on: whoever ends it by SIGTERM would leave the example behind. On Linux only.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if (hatch := os.environ.pop(STARTED_BY, "")) and sys.platform == "linux":
        threading.Thread(target=_wait_for_the_end_of, args=[int(hatch)], daemon=True).start()


def _wait_for_the_end_of(process: int) -> None:
    try:
        ended = os.pidfd_open(process)
    except ProcessLookupError:
        pass
    else:
        select.select([ended], [], [])
        os.close(ended)
    os.kill(os.getpid(), signal.SIGTERM)
