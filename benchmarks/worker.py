"""One subject in its own environment and process: `python -m benchmarks.worker MODULE`.

It reads one JSON object a line from its standard input and answers each with one: `{"figures": ...}` or
`{"error": ...}`. It ends with its input. Only SQLAlchemy, psycopg and the subject are needed here.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
from importlib.metadata import distributions
from typing import IO, Any

from benchmarks.subjects.recorder import Recorder
from benchmarks.work import Work
from benchmarks.workloads import STEPS


def main(module: str) -> None:
    answers = _take_stdout()
    work: Work | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["command"] == "prepare":
                recorder: Recorder = importlib.import_module(f"benchmarks.subjects.{module}").recorder
                work = Work(recorder, request["url"])
                work.prepare(request["source_rows"])
                answer: dict[str, Any] = {"versions": versions()}
            elif work is None:
                answer = {"error": "not prepared"}
            elif request["command"] == "run":
                answer = {"figures": STEPS[request["step"]](work, **request["arguments"])}
            else:
                work.close()
                answer = {}
        except Exception:  # whatever it is, the driver has to know
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def versions() -> dict[str, str]:
    """Return what is installed in this environment."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    found.update((each.metadata["Name"].lower(), each.version) for each in distributions())
    return found


def _take_stdout() -> IO[str]:
    """Reserve standard output for answers; what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main(sys.argv[1])
