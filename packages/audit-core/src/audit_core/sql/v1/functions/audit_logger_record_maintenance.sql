-- Leaves an activity "maintenance", which says what was done with the trail itself. Called by what changes its partitions
-- or removes activities.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_maintenance(done jsonb) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    -- Asked for before an id is drawn: readers of streams rely on it.
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    recorded bigint;
BEGIN
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_data, changed_data)
    VALUES (@schema@.audit_logger_ensure_transaction(), clock_timestamp(), xid,
        (quote_ident(@schema_literal@) || '.activity')::regclass, @schema_literal@, 'activity', 'maintenance',
        NULL, '{}', done)
    RETURNING id INTO recorded;
    RETURN recorded;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_maintenance(jsonb) FROM PUBLIC
