-- The variables of prepare_activity and insert_activity.
    -- Taken once, after the row locks are held: the history of a row has one order.
    recorded_at CONSTANT timestamptz := clock_timestamp();
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    old_json jsonb := '{}';
    new_json jsonb := '{}';
    key_json jsonb;
    row_key text;
    old_row_key text;
    row_of_transaction tid;
    key_columns text[] := '{}';
    excluded text[] := '{}';
    masked text[] := '{}';
    included text[];
    argument text;
    binary_comparison text;
    binary_changes text[];
