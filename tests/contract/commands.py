"""Run `python -m ...` commands, each in a process of its own that has the slow imports behind it.

Importing SQLAlchemy, Alembic and Flask takes longer than most commands do. This process has imported them;
for each line of its standard input it forks, and the fork becomes the command. Our own packages are among
the imports only if they are named as arguments: which of them a command finds imported is a matter of the test.
"""

from __future__ import annotations

import compileall
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import runpy
import signal
import sys
from typing import Any

PRELOADED = (
    "alembic.config",
    "flask_login",
    "flask_migrate.cli",
    "flask_sqlalchemy.cli",
    "logging.config",
    "psycopg",
    "rich.progress",
    "rich.table",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.ext.hybrid",
    "sqlalchemy.orm",
)
OURS = ("audit_core", "audit_alembic", "flask_audit_logger")
TIMEOUT = 120


def serve() -> None:
    for module in (*PRELOADED, *sys.argv[1:]):
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(module)
    compile_ours()
    # A test rewrites its files faster than the time stamps of bytecode can tell.
    sys.dont_write_bytecode = True
    # Else each fork spends its end on collecting what it inherited.
    gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(**json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def compile_ours() -> None:
    """Write the bytecode of our packages, since no command may; compiling takes half of the time of one."""
    if sys.dont_write_bytecode:  # by the wish of whoever started this
        return
    for name in OURS:
        spec = importlib.util.find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or []:
            compileall.compile_dir(folder, quiet=2)


def become(
    module: str, arguments: list[str], directory: str, environment: dict[str, str], files: dict[str, str]
) -> Any:
    """Do what `python -m <module> <arguments>` does in a directory."""
    signal.alarm(TIMEOUT)
    for descriptor, path in enumerate([os.devnull, files["stdout"], files["stderr"]]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = directory
    sys.path[1:1] = environment["PYTHONPATH"].split(os.pathsep)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    serve()
