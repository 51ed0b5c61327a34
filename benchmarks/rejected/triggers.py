"""Other ways through the trigger function.

Each variant is made of the function that is installed. One row is recorded by expressions and an INSERT, several
rows by a query, more than a hundred by a query that is made for the table: what if one of the three did it all? What
if the key were looked up at each statement, or the partition named, or if each operation had a function of its own?
"""

from __future__ import annotations

import statistics

import psycopg
from audit_core import AuditLog
from sqlalchemy import Column, Integer, MetaData, Numeric, Table, Text, create_engine, text
from sqlalchemy.engine import make_url

from dev.postgres import throwaway_server

ROUNDS = 7
#: Rows of a statement, and how many such statements are timed.
STATEMENTS = {1: 2000, 2: 500, 1000: 4}

FUNCTION = "SELECT pg_get_functiondef('audit_logger_record_statement()'::regprocedure)"
UPDATE = "UPDATE articles SET name = name || 'x', amount = i WHERE id BETWEEN i * {rows} AND i * {rows} + {rows} - 1"
TIMED = """
DO $$
DECLARE start timestamptz := clock_timestamp();
BEGIN
    FOR i IN 1..{times} LOOP {statement}; END LOOP;
    PERFORM set_config('bench.us', (extract(epoch FROM clock_timestamp() - start) * 1e6 / {times})::text, false);
END $$
"""
TRIGGER = """
CREATE OR REPLACE TRIGGER audit_logger_update AFTER UPDATE ON articles
REFERENCING OLD TABLE AS old_table NEW TABLE AS new_table
FOR EACH STATEMENT EXECUTE FUNCTION audit_logger_record_statement({arguments})
"""

#: What is replaced in the function, by what.
VARIANTS = {
    "in use": {},
    "the query of several rows for one": {"IF NOT first.has_next THEN": "IF false THEN"},
    "the query of many rows for several": {"OFFSET 100": "OFFSET 1"},
    "the query of several rows for many": {"OFFSET 100": "OFFSET 1000000000"},
    "straight into the partition": {
        "activity (": "activity_open (id, ",
        "VALUES (": "VALUES (nextval('public.activity_id_seq'),",
        "SELECT (SELECT": "SELECT nextval('public.activity_id_seq'), (SELECT",
    },
    # What is asked of the operation is known, and what other operations do is left out.
    "a function for each operation": {
        "TG_OP = 'INSERT'": "false",
        "TG_OP <> 'INSERT'": "true",
        "TG_OP = 'DELETE'": "false",
        "TG_OP <> 'DELETE'": "true",
        "TG_OP = 'UPDATE'": "true",
        "CASE TG_OP WHEN 'DELETE' THEN old_json ELSE new_json END": "new_json",
        "lower(TG_OP)": "'update'",
    },
    "the key looked up": {},
}


def main() -> None:
    """Print microseconds for each row of an UPDATE, for each variant and number of rows."""
    with throwaway_server() as server, psycopg.connect(server.url, autocommit=True) as connection:
        install(server.url)
        connection.execute("SELECT set_config('audit_logger.actor_id', '7', false)")
        found = connection.execute(FUNCTION).fetchone()
        assert found is not None
        times: dict[str, dict[int, list[float]]] = {name: {rows: [] for rows in STATEMENTS} for name in VARIANTS}
        for _ in range(ROUNDS):
            for name, replaced in VARIANTS.items():
                source = found[0]
                for old, new in replaced.items():
                    assert old in source, old
                    source = source.replace(old, new)
                connection.execute(source)
                arguments = "" if name == "the key looked up" else "'key=id'"
                connection.execute(TRIGGER.format(arguments=arguments))
                for rows, number in STATEMENTS.items():
                    statement = UPDATE.format(rows=rows)
                    with connection.transaction(force_rollback=True):
                        connection.execute(TIMED.format(times=number, statement=statement))
                        timed = connection.execute("SELECT current_setting('bench.us')").fetchone()
                        assert timed is not None
                        times[name][rows].append(float(timed[0]) / rows)
    print(f"{'us a row, in statements of':36}" + "".join(f"{rows:8} rows" for rows in STATEMENTS))
    for name, found_times in times.items():
        print(f"{name:36}" + "".join(f"{statistics.median(each):13.1f}" for each in found_times.values()))


def install(url: str) -> None:
    """Create a table of ten columns and its trail."""
    metadata = MetaData()
    texts = [Column(name, Text) for name in ("name", "email", "city", "street", "note", "state", "country")]
    options = {"versioned": {"exclude": ["country"]}}
    Table(
        "articles", metadata, Column("id", Integer, primary_key=True), *texts, Column("amount", Numeric), info=options
    )
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(
            text(
                "INSERT INTO articles SELECT i, 'name ' || i, 'user' || i || '@example.com', 'city', 'street ' || i,"
                " 'a note of some length', 'state', 'country', i FROM generate_series(1, 6000) AS i"
            )
        )
        AuditLog(metadata).install(connection)
    engine.dispose()


if __name__ == "__main__":
    main()
