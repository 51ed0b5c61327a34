"""The tables of other audit trails, and triggers that record into them as theirs do."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, text


def create_flask_audit_logger(engine: Engine, schema: str, tables: Sequence[str]) -> None:
    """Make the tables of flask-audit-logger 1.x and 2.x."""
    _create(engine, schema, tables, "schema", "bigint", "txid_current()")


def create_postgresql_audit(engine: Engine, schema: str, tables: Sequence[str]) -> None:
    """Make the tables of PostgreSQL-Audit 0.18."""
    _create(engine, schema, tables, "schema_name", "xid8", "pg_current_xact_id()")


def _create(engine: Engine, schema: str, tables: Sequence[str], column: str, number: str, current: str) -> None:
    with engine.begin() as connection:
        for sql in (
            f"CREATE SCHEMA {schema}",
            f"CREATE TABLE {schema}.transaction (id bigserial PRIMARY KEY, native_transaction_id {number},"
            " issued_at timestamp, client_addr inet, actor_id integer)",
            f"CREATE TABLE {schema}.activity (id bigserial PRIMARY KEY, {column} text, table_name text, relid integer,"
            f" issued_at timestamp, native_transaction_id {number}, verb text, old_data jsonb DEFAULT '{{}}',"
            f" changed_data jsonb DEFAULT '{{}}', transaction_id bigint REFERENCES {schema}.transaction)",
            f"""CREATE FUNCTION {schema}.create_activity() RETURNS trigger LANGUAGE plpgsql AS $$
            DECLARE
                number bigint;
                old jsonb := coalesce(to_jsonb(OLD), '{{}}');
                new jsonb := coalesce(to_jsonb(NEW), '{{}}');
            BEGIN
                IF current_setting('audit_old.actor', true) <> '' THEN
                    INSERT INTO {schema}.transaction (native_transaction_id, issued_at, client_addr, actor_id)
                    VALUES ({current}, now() AT TIME ZONE 'UTC', '127.0.0.1',
                            current_setting('audit_old.actor')::integer)
                    RETURNING id INTO number;
                END IF;
                INSERT INTO {schema}.activity ({column}, table_name, relid, issued_at, native_transaction_id, verb,
                    old_data, changed_data, transaction_id)
                VALUES (TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_RELID, statement_timestamp() AT TIME ZONE 'UTC', {current},
                    lower(TG_OP), old, coalesce((SELECT jsonb_object_agg(key, value) FROM jsonb_each(new)
                        WHERE value IS DISTINCT FROM old -> key), '{{}}'), number);
                RETURN NULL;
            END $$""",
        ):
            connection.execute(text(sql))
        for table in tables:
            connection.execute(
                text(
                    f"CREATE TRIGGER old AFTER INSERT OR UPDATE OR DELETE ON {table}"
                    f" FOR EACH ROW EXECUTE FUNCTION {schema}.create_activity()"
                )
            )
