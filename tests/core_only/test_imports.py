"""audit_core needs SQLAlchemy and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest


def test_importing_it_imports_no_framework_and_no_driver() -> None:
    code = "import sys, audit_core; print(*{name.partition('.')[0] for name in sys.modules})"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    others = {
        "alembic",
        "asyncpg",
        "audit_alembic",
        "celery",
        "click",
        "flask",
        "matplotlib",
        "psycopg",
        "psycopg2",
        "pyarrow",
        "rich",
    }
    assert not others & set(imported.split())


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_the_command_says_what_to_install(missing: str) -> None:
    # As if it were not installed, also where it is.
    code = f"import sys; sys.modules[{missing!r}] = None; from audit_core.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: audit-log needs '")
    assert done.stderr.endswith('. Run: pip install "audit-core[cli]"\n')
    assert done.stderr.count("\n") == 1
