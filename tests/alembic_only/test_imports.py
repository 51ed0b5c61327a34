"""audit_alembic needs audit_core and Alembic and nothing else."""

from __future__ import annotations

import subprocess
import sys


def test_importing_it_imports_no_flask_and_no_driver() -> None:
    code = "import sys, audit_alembic; print(*{name.partition('.')[0] for name in sys.modules})"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"flask", "flask_audit_logger", "flask_migrate", "psycopg"} & set(imported.split())
