-- Creates the tables of the trail: who did something (transaction), each change (activity), and since when each table
-- is audited (activity_coverage). The comment of activity names the SQL version.
CREATE TABLE @schema@.transaction (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    native_transaction_id bigint NOT NULL,
    issued_at timestamptz NOT NULL,
    actor_id @actor_id_type@,
    client_addr inet,
    meta jsonb,
    db_user text NOT NULL DEFAULT session_user,
    application_name text NOT NULL DEFAULT pg_catalog.current_setting('application_name'::text)
)
;;
CREATE INDEX transaction_native_transaction_id_idx
    ON @schema@.transaction (native_transaction_id, issued_at)
;;
CREATE INDEX transaction_actor_id_idx ON @schema@.transaction (actor_id, id)
;;
CREATE INDEX transaction_undoes_idx ON @schema@.transaction USING hash
    ((meta OPERATOR(pg_catalog.->) 'undoes'::text))
    WHERE meta OPERATOR(pg_catalog.?) 'undoes'::text
;;
CREATE TABLE @schema@.activity (
    id bigserial,
    transaction_id bigint NOT NULL,
    issued_at timestamptz NOT NULL,
    native_transaction_id bigint NOT NULL,
    relid oid NOT NULL,
    schema text COLLATE "C" NOT NULL,
    table_name text COLLATE "C" NOT NULL,
    verb text COLLATE "C" NOT NULL,
    row_key text COLLATE "C",
    old_row_key text COLLATE "C",
    old_data jsonb NOT NULL,
    changed_data jsonb NOT NULL,
    masked text[],
    PRIMARY KEY (id)
) PARTITION BY RANGE (id)
;;
CREATE TABLE @schema@.activity_open PARTITION OF @schema@.activity FOR VALUES FROM (MINVALUE) TO (MAXVALUE)
;;
CREATE INDEX activity_row_key_idx ON @schema@.activity (table_name, row_key, id)
;;
CREATE INDEX activity_old_row_key_idx ON @schema@.activity (table_name, old_row_key, id)
    WHERE old_row_key IS NOT NULL
;;
CREATE INDEX activity_transaction_id_idx ON @schema@.activity (transaction_id)
;;
CREATE TABLE @schema@.activity_coverage (
    issued_at timestamptz NOT NULL,
    native_transaction_id bigint NOT NULL,
    relid oid NOT NULL,
    schema text COLLATE "C" NOT NULL,
    table_name text COLLATE "C" NOT NULL,
    event text COLLATE "C" NOT NULL,
    since timestamptz,
    operations text[] NOT NULL,
    arguments text[] NOT NULL,
    sql_version integer NOT NULL,
    row_count bigint,
    row_count_is_exact boolean NOT NULL,
    actor_id text,
    db_user text NOT NULL DEFAULT session_user,
    application_name text NOT NULL DEFAULT pg_catalog.current_setting('application_name'::text),
    PRIMARY KEY (table_name, schema, issued_at)
)
;;
REVOKE ALL ON @schema@.transaction, @schema@.activity, @schema@.activity_open, @schema@.activity_coverage FROM PUBLIC
;;
COMMENT ON TABLE @schema@.transaction IS 'audit trail: who, from where and why'
;;
COMMENT ON TABLE @schema@.activity_coverage IS 'audit trail: what is recorded, and since when'
;;
COMMENT ON TABLE @schema@.activity IS 'audit trail: what changed (SQL version 1)'
