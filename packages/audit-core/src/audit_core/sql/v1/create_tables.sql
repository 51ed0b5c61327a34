-- Creates the tables of the trail: who did something (transaction), each change (activity), since when each table is
-- audited (activity_coverage), which partitions were closed (activity_partition), how long activities are kept
-- (activity_retention), what has to stay (activity_hold), what is sealed (activity_seal, activity_seal_leaf), and what
-- the seals need of values that are gone (activity_commitment). The comment of activity names the SQL version. Below 0 is
-- room for what another trail recorded before.
CREATE TABLE @schema@.transaction (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    native_transaction_id bigint NOT NULL,
    issued_at timestamptz NOT NULL,
    actor_id @actor_id_type@,
    client_addr inet,
    meta jsonb,
    db_user text NOT NULL DEFAULT session_user,
    application_name text NOT NULL DEFAULT pg_catalog.current_setting('application_name'::text),
    erased text[]
)
;;
CREATE INDEX transaction_native_transaction_id_idx
    ON @schema@.transaction (native_transaction_id, issued_at)
;;
CREATE INDEX transaction_actor_id_idx ON @schema@.transaction (actor_id, id)
;;
CREATE INDEX transaction_undoes_idx ON @schema@.transaction
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
    delta_depth smallint,
    erased text[],
    PRIMARY KEY (id)
) PARTITION BY RANGE (id)
;;
ALTER TABLE @schema@.activity
    ALTER COLUMN old_data SET STATISTICS 0, ALTER COLUMN changed_data SET STATISTICS 0
;;
ALTER TABLE @schema@.transaction
    ALTER COLUMN client_addr SET STATISTICS 0, ALTER COLUMN meta SET STATISTICS 0,
    ALTER COLUMN application_name SET STATISTICS 0
;;
CREATE TABLE @schema@.activity_open PARTITION OF @schema@.activity FOR VALUES FROM (0) TO (MAXVALUE)
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
CREATE TABLE @schema@.activity_partition (
    name text COLLATE "C" PRIMARY KEY,
    from_id bigint,
    end_id bigint NOT NULL,
    first_issued_at timestamptz NOT NULL,
    last_issued_at timestamptz NOT NULL,
    row_count bigint,
    table_names text[],
    first_transaction_id bigint,
    last_transaction_id bigint,
    held_count bigint,
    archived_at timestamptz,
    archive_checksum text,
    removed_at timestamptz
)
;;
CREATE TABLE @schema@.activity_retention (
    schema text COLLATE "C" NOT NULL,
    table_name text COLLATE "C" NOT NULL,
    keep interval,
    run_at timestamptz,
    known_since timestamptz,
    removed_at timestamptz,
    snapshot_at timestamptz,
    PRIMARY KEY (schema, table_name)
)
;;
CREATE TABLE @schema@.activity_hold (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    issued_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    reason text NOT NULL,
    schema text COLLATE "C",
    table_name text COLLATE "C",
    row_key text COLLATE "C",
    actor_id text,
    since timestamptz,
    until timestamptz,
    placed_by text,
    db_user text NOT NULL DEFAULT session_user,
    application_name text NOT NULL DEFAULT pg_catalog.current_setting('application_name'::text),
    released_at timestamptz,
    released_by text
)
;;
CREATE TABLE @schema@.activity_seal (
    number bigint PRIMARY KEY,
    sealed_at timestamptz NOT NULL,
    from_id bigint NOT NULL,
    to_id bigint NOT NULL,
    from_transaction_id bigint NOT NULL,
    to_transaction_id bigint NOT NULL,
    activity_count bigint NOT NULL,
    transaction_count bigint NOT NULL,
    seen_id bigint NOT NULL,
    root bytea NOT NULL,
    previous_hash bytea,
    hash bytea NOT NULL
)
;;
CREATE TABLE @schema@.activity_seal_leaf (
    number bigint PRIMARY KEY,
    activity_ids bigint[] NOT NULL,
    transaction_ids bigint[] NOT NULL,
    hashes bytea NOT NULL,
    seeds bytea NOT NULL,
    removed_ids bigint[] NOT NULL,
    anchored_at timestamptz,
    anchored_in text
)
;;
ALTER TABLE @schema@.activity_seal_leaf
    ALTER COLUMN hashes SET STORAGE EXTERNAL, ALTER COLUMN seeds SET STORAGE EXTERNAL
;;
CREATE TABLE @schema@.activity_commitment (
    of_table text COLLATE "C" NOT NULL,
    id bigint NOT NULL,
    field text COLLATE "C" NOT NULL,
    commitment bytea,
    salt bytea,
    maintenance_id bigint,
    PRIMARY KEY (of_table, id, field)
)
;;
REVOKE ALL ON @schema@.transaction, @schema@.activity, @schema@.activity_open, @schema@.activity_coverage,
    @schema@.activity_partition, @schema@.activity_retention, @schema@.activity_hold, @schema@.activity_seal,
    @schema@.activity_seal_leaf, @schema@.activity_commitment FROM PUBLIC
;;
COMMENT ON TABLE @schema@.activity_seal IS 'audit trail: what is sealed, each seal with the hash of the one before it'
;;
COMMENT ON TABLE @schema@.activity_seal_leaf IS 'audit trail: the hashes that a seal is made of'
;;
COMMENT ON TABLE @schema@.activity_commitment IS 'audit trail: what seals need of values that are gone'
;;
COMMENT ON TABLE @schema@.activity_partition IS 'audit trail: the closed partitions, those that are gone included'
;;
COMMENT ON TABLE @schema@.activity_retention IS 'audit trail: how long activities are kept, and since when they are known'
;;
COMMENT ON TABLE @schema@.activity_hold IS 'audit trail: what retention has to leave alone'
;;
CREATE SEQUENCE @schema@.activity_command_seq OWNED BY @schema@.activity.issued_at
;;
DO $audit_logger$
BEGIN
    -- What it holds is of interest to the session alone, and need not be written to the log.
    IF current_setting('server_version_num')::integer >= 150000 THEN
        ALTER SEQUENCE @schema@.activity_command_seq SET UNLOGGED;
    END IF;
END
$audit_logger$
;;
COMMENT ON SEQUENCE @schema@.activity_command_seq IS 'audit trail: the last command of a session that recorded something'
;;
COMMENT ON TABLE @schema@.transaction IS 'audit trail: who, from where and why'
;;
COMMENT ON TABLE @schema@.activity_coverage IS 'audit trail: what is recorded, and since when'
;;
COMMENT ON TABLE @schema@.activity IS 'audit trail: what changed (SQL version 1)'
