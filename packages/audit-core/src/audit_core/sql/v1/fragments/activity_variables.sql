-- The variables of prepare_activity and insert_activity.
    -- Taken once, after the row locks are held: the history of a row has one order.
    recorded_at CONSTANT timestamptz := clock_timestamp();
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    -- With their types: an untyped constant would be parsed again in each transaction.
    old_json jsonb := '{}'::jsonb;
    new_json jsonb := '{}'::jsonb;
    key_json jsonb;
    row_key text;
    old_row_key text;
    row_of_transaction tid;
    key_columns text[] := '{}'::text[];
    excluded text[] := '{}'::text[];
    masked text[] := '{}'::text[];
    included text[];
    stores_changes boolean := false;
    delta_depth smallint;
    argument text;
    binary_comparison text;
    binary_changes text[];
    -- When the command began that the client sent, in microseconds.
    command CONSTANT bigint := (date_part('epoch', statement_timestamp()) * 1000000)::bigint;
    has_previous boolean;
    marked_command bigint;
