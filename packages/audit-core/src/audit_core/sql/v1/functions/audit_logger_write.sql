CREATE OR REPLACE FUNCTION @schema@.audit_logger_write(
    relation oid, schema_name text, table_name text, operation text, arguments text[], recorded_at timestamptz,
    old_row jsonb, new_row jsonb)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    options CONSTANT record := @schema@.audit_logger_options(relation, arguments);
    key_row jsonb;
    row_key text;
BEGIN
    IF options.excluded <> '{}' THEN
        old_row := old_row - options.excluded;
        new_row := new_row - options.excluded;
    END IF;
    IF operation = 'UPDATE' AND old_row = new_row THEN
        RETURN false;
    END IF;
    key_row := CASE operation WHEN 'DELETE' THEN old_row ELSE new_row END;
    row_key := CASE WHEN cardinality(options.key_columns) = 1 THEN key_row ->> options.key_columns[1]
                    ELSE @schema@.audit_logger_composite_key(key_row, options.key_columns) END;
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_data, changed_data)
    SELECT @schema@.audit_logger_transaction_id(), recorded_at, pg_current_xact_id()::text::bigint,
        relation, schema_name, table_name, lower(operation), row_key,
        CASE WHEN options.masked = '{}' THEN old_row ELSE @schema@.audit_logger_mask(old_row, options.masked) END,
        CASE WHEN options.masked = '{}' THEN changes ELSE @schema@.audit_logger_mask(changes, options.masked) END
    FROM (SELECT CASE operation
        WHEN 'UPDATE' THEN new_row - ARRAY(
            SELECT e.key FROM jsonb_each(old_row) AS e WHERE e.value = new_row -> e.key)
        ELSE new_row END AS changes OFFSET 0) AS difference;
    RETURN true;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_write(oid, text, text, text, text[], timestamptz, jsonb, jsonb) FROM PUBLIC
