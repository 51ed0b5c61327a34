"""Operations in migrations written by hand, as the documentation shows them."""

from __future__ import annotations

from tests.contract.setups import MigratedProject


def test_a_table_is_recorded_and_no_longer_recorded(installed: MigratedProject) -> None:
    installed.execute("ALTER TABLE users ADD COLUMN hair_color text")
    installed.write_migration(
        'op.init_audit_logger_triggers("users", excluded_columns=["hair_color"])',
        'op.remove_audit_logger_triggers("users")',
    )
    installed.upgrade()
    installed.execute("INSERT INTO users (name, hair_color) VALUES ('ann', 'red')")
    installed.downgrade()
    installed.execute("UPDATE users SET name = 'unseen'")
    assert installed.recorded("users") == [("insert", {"id": 1, "name": "ann"})]
