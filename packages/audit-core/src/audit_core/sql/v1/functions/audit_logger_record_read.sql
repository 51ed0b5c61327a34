CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_read(
    schema_name text, table_name text, row_key text, filter jsonb)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
BEGIN
    -- Somebody read the trail: of one record, or, without a table, what the filter says.
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_data, changed_data)
    VALUES (@schema@.audit_logger_transaction_id(), clock_timestamp(), pg_current_xact_id()::text::bigint, 0,
        coalesce(schema_name, @schema_literal@), coalesce(table_name, 'activity'), 'read',
        row_key, '{}', filter);
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_read(text, text, text, jsonb) FROM PUBLIC
