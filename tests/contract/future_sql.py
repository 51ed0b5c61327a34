"""A made-up second version of the SQL, with everything that a version can change."""

from __future__ import annotations

import shutil
from pathlib import Path

from audit_core.sql import sql_version

#: What an application imports to have it.
REGISTER = """
from pathlib import Path
from audit_core.sql import SQL_VERSIONS, SQLVersion
SQL_VERSIONS[2] = SQLVersion(2, Path(__file__).with_name("v2"))
"""

#: The table gets a column, and its comment names the version, as in every version.
UPGRADE = """\
ALTER TABLE @schema@.transaction ADD COLUMN note text
;;
COMMENT ON TABLE @schema@.activity IS 'audit trail: what changed (SQL version 2)'
"""
DOWNGRADE = """\
DROP FUNCTION @schema@.audit_logger_record_delete()
;;
ALTER TABLE @schema@.transaction DROP COLUMN note
;;
COMMENT ON TABLE @schema@.activity IS 'audit trail: what changed (SQL version 1)'
"""


def write_version_2(directory: Path) -> None:
    """Write it into a folder: other verbs, a new function, and one trigger under another name."""
    folder = directory / "v2"
    shutil.copytree(sql_version(1).folder, folder)
    _replace(
        folder / "create_tables.sql", {"(SQL version 1)": "(SQL version 2)", "meta jsonb,": "meta jsonb, note text,"}
    )
    (folder / "upgrade.sql").write_text(UPGRADE)
    (folder / "downgrade.sql").write_text(DOWNGRADE)
    record = folder / "functions" / "audit_logger_record_statement.sql"
    shutil.copy(record, record.with_name("audit_logger_record_delete.sql"))
    _replace(record.with_name("audit_logger_record_delete.sql"), {"record_statement()": "record_delete()"})
    _replace(folder / "fragments" / "insert_activity.sql", {"lower(TG_OP)": "lower(TG_OP) || ' 2'"})
    old, new = (folder / "triggers" / "plain" / f"audit_logger_{name}.sql" for name in ("delete", "erase"))
    old.rename(new)
    _replace(new, {"audit_logger_delete": "audit_logger_erase", "record_statement(": "record_delete("})


def _replace(path: Path, replacements: dict[str, str]) -> None:
    text = path.read_text()
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
