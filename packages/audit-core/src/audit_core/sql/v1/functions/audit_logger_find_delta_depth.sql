-- Tells whether an update of a row may be recorded as a delta, without the columns that it does not change
-- (store=changes). Called by what records updates. Returns how many activities before it the whole row stands, or NULL if
-- the row has to be recorded whole: because the open partition has no activity of it yet, since each partition has to be
-- readable alone; because so many were deltas already; or because what they say is not what the row was, after a bypass,
-- an ALTER TABLE or the like. So a delta leaves out what was recorded before, and nothing else.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_find_delta_depth(
    schema_name text, name text, key text, old_row jsonb) RETURNS smallint
LANGUAGE plpgsql STABLE
@include index_scan_settings@
AS $audit_logger$
DECLARE
    before_id CONSTANT bigint := 9223372036854775807;
    -- Reading one row takes so many steps at most, and the whole row is written once for so many deltas.
    max_steps CONSTANT smallint := 50;
    steps smallint := 0;
    each record;
    changes jsonb := '{}'::jsonb;
    state jsonb;
BEGIN
    -- Under SERIALIZABLE, who reads the index conflicts with everybody who writes next to the row. The lock is that of
    -- retention, which may be about to remove what a delta would rest on; it waits until those written are committed.
    IF key IS NULL OR current_setting('transaction_isolation') = 'serializable'
        OR NOT pg_try_advisory_xact_lock_shared(
            hashtextextended('audit_logger_delta ' || schema_name || '.' || name, 0))
    THEN
        RETURN NULL;
    END IF;
    -- An id that is drawn now is greater than those found, and so of the same partition, or a later split waits for us.
@include fold_changes trail=activity_open@
    RETURN CASE WHEN state = old_row THEN steps END;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_find_delta_depth(text, text, text, jsonb) FROM PUBLIC
