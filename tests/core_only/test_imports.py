"""audit_core needs SQLAlchemy and nothing else."""

from __future__ import annotations

import subprocess
import sys


def test_importing_it_imports_no_framework_and_no_driver() -> None:
    code = "import sys, audit_core; print(*{name.partition('.')[0] for name in sys.modules})"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"alembic", "asyncpg", "audit_alembic", "flask", "psycopg", "psycopg2"} & set(imported.split())
