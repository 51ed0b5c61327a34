"""Run `python -m ...` commands, each in a process of its own that has the slow imports behind it.

Importing SQLAlchemy, Alembic and Flask takes longer than most commands do. This process has imported them;
for each line of its standard input it forks, and the fork becomes the command. Our own packages are among
the imports only if they are named as arguments: which of them a command finds imported is a matter of the test.
What ``flask`` itself imports for each command, since it is registered as a plugin, is among them then, too.
"""

from __future__ import annotations

import atexit
import compileall
import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import runpy
import signal
import sys
from typing import NoReturn

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
    for plugin in importlib.metadata.entry_points(group="flask.commands"):
        if plugin.module.partition(".")[0] in sys.modules:
            plugin.load()
    compile_ours()
    # A test rewrites its files faster than the time stamps of bytecode can tell.
    sys.dont_write_bytecode = True
    # No command lives long enough to make garbage that matters.
    gc.disable()
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
) -> NoReturn:
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
    code = exit_code(module)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Python would take apart, object by object, what the fork inherited.
    os._exit(code)


def exit_code(module: str) -> int:
    """Run a module, and return what Python would end with."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    serve()
