"""What many writers at once keep of their throughput, with the trail and with the least that records the same.

Eight clients, transactions of three changes of single rows, prepared statements. `least` finds or inserts the row of
the transaction, and inserts what changed as JSON, into the same tables with the same indexes. It knows no options, no
settings that change how a value is written, no order of changes, no keys of several columns, no casts, and no bypass.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

import psycopg
from audit_core import AuditLog
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase

from benchmarks.tables import COLUMNS, VALUES, ItemColumns
from dev.postgres import bin_directory, throwaway_server

ROUNDS, SECONDS = 4, 10
ROWS = 20_000


class Base(DeclarativeBase):
    pass


class Item(ItemColumns, Base):
    __table_args__ = ({"info": {"versioned": {"exclude": ["views"]}}},)


log = AuditLog(Base)

SCRIPT = f"""\\set a random(1, {ROWS})
\\set b random(1, {ROWS})
BEGIN;
SELECT set_config('audit_logger.actor_id', '7', true);
UPDATE item SET name = name || 'x' WHERE id = :a;
INSERT INTO item ({COLUMNS}) SELECT {" ".join(VALUES.split())} FROM CAST(:b AS int) AS g;
UPDATE item SET price = price + 1, category = 'c' WHERE id = :b;
COMMIT;
"""
LEAST = """
CREATE FUNCTION least_record() RETURNS trigger LANGUAGE plpgsql AS $body$
DECLARE
    found bigint;
    number bigint := pg_current_xact_id()::text::bigint;
BEGIN
    SELECT t.id INTO found FROM transaction AS t WHERE t.native_transaction_id = number AND t.issued_at = now();
    IF found IS NULL THEN
        INSERT INTO transaction (native_transaction_id, issued_at, actor_id)
        VALUES (number, now(), current_setting('audit_logger.actor_id', true)) RETURNING id INTO found;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data)
        SELECT found, clock_timestamp(), number, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'insert', n.id, '{}',
            to_jsonb(n) FROM new_rows AS n;
    ELSE
        INSERT INTO activity (transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data)
        SELECT found, clock_timestamp(), number, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'update',
            after.data ->> 'id', before.data, (SELECT jsonb_object_agg(key, value) FROM jsonb_each(after.data)
                          WHERE value IS DISTINCT FROM before.data -> key)
        FROM (SELECT to_jsonb(o) AS data, row_number() OVER () AS place FROM old_rows AS o) AS before
        JOIN (SELECT to_jsonb(n) AS data, row_number() OVER () AS place FROM new_rows AS n) AS after USING (place)
        WHERE before.data <> after.data;
    END IF;
    RETURN NULL;
END $body$;
DROP TRIGGER audit_logger_insert ON item;
DROP TRIGGER audit_logger_update ON item;
CREATE TRIGGER least_insert AFTER INSERT ON item REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION least_record();
CREATE TRIGGER least_update AFTER UPDATE ON item REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION least_record();
"""


def main() -> None:
    """Print the transactions a second of each variant, measured in turns, and what is left of those without a trail."""
    with throwaway_server() as server, NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(SCRIPT)
        script.flush()
        with psycopg.connect(server.url, autocommit=True) as owner:
            owner.execute("ALTER SYSTEM SET fsync = on")
            owner.execute("SELECT pg_reload_conf()")
            for name in ("without", "least", "trail"):
                owner.execute(f"CREATE DATABASE {name}_")
        urls = {name: f"{server.url.rpartition('/')[0]}/{name}_" for name in ("without", "least", "trail")}
        for name, url in urls.items():
            prepare(url, with_trail=name != "without", least=name == "least")
        rates: dict[str, list[float]] = {name: [] for name in urls}
        for _ in range(ROUNDS):
            for name, url in urls.items():
                rates[name].append(run(url, script.name))
    for name, found in rates.items():
        shares = [one / other for one, other in zip(found, rates["without"], strict=True)]
        print(f"{name:10}{statistics.median(found):8.0f}/s{statistics.median(shares):8.2f}")


def prepare(url: str, *, with_trail: bool, least: bool) -> None:
    """Make the table, and what records it."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        if with_trail:
            log.install(connection)
    engine.dispose()
    with psycopg.connect(url, autocommit=True) as owner:
        if least:
            owner.execute(LEAST.encode())
        rows = f"INSERT INTO item ({COLUMNS}) SELECT {VALUES} FROM generate_series(1, {ROWS}) AS g"
        owner.execute(rows.encode())
        owner.execute("VACUUM ANALYZE")


def run(url: str, script: str) -> float:
    """Return the transactions a second of eight clients."""
    pgbench: Path = bin_directory("18") / "pgbench"
    options = ("-n", "-c", "8", "-j", "2", "-T", str(SECONDS), "-M", "prepared", "-f", script)
    done = subprocess.run([pgbench, *options, url], capture_output=True, text=True, check=False)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if found is None:
        sys.exit(done.stderr)
    return float(found[1])


if __name__ == "__main__":
    main()
