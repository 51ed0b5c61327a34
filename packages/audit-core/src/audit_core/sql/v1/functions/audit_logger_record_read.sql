-- Records that somebody read the trail: one record, or, without a table, what the filter says. Called by the page and
-- by other readers who may execute it. Raises AU010 if nothing is recorded of the table, if the key or the filter is
-- too long, and if the filter is not a JSON object.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_read(
    schema_name text, table_name text, row_key text, filter jsonb)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
BEGIN
    -- Readers go through the names in the trail, so that nobody may fill it with names that do not exist.
    IF table_name IS NOT NULL
       AND to_regclass(format('%I.%I', schema_name, table_name)) IS NULL
       AND NOT EXISTS (
           SELECT FROM @schema@.activity AS a
           WHERE a.table_name = audit_logger_record_read.table_name AND a.verb <> 'read')
    THEN
        RAISE EXCEPTION 'nothing is recorded of %.%', schema_name, table_name
            USING ERRCODE = 'AU010', HINT = 'Give the schema and the name of a table of which something is recorded.';
    END IF;
    IF octet_length(row_key) > 1001 OR octet_length(filter::text) > 100000 THEN
        RAISE EXCEPTION 'the key or the filter of a reader is too long' USING ERRCODE = 'AU010',
            HINT = 'A key in the trail has at most 1001 bytes, a filter may have 100000.';
    END IF;
    IF jsonb_typeof(filter) <> 'object' THEN
        RAISE EXCEPTION 'the filter of a reader is a JSON %', jsonb_typeof(filter)
            USING ERRCODE = 'AU010', HINT = 'Give a JSON object.';
    END IF;
    -- An id is drawn by a transaction that has its number by then: streams wait for numbers.
    PERFORM pg_current_xact_id();
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_data, changed_data)
    VALUES (@schema@.audit_logger_ensure_transaction(), clock_timestamp(), pg_current_xact_id()::text::bigint, 0,
        coalesce(schema_name, @schema_literal@), coalesce(table_name, 'activity'), 'read',
        row_key, '{}', filter);
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_read(text, text, text, jsonb) FROM PUBLIC
