-- Returns the name that a field of an activity had when it was sealed, before columns were renamed in the trail. Called
-- by audit_logger_keep_commitments(); seen_id is that of the seal.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_sealed_name(
    schema_name text, table_name text, field text, seen_id bigint)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    renamed record;
    data CONSTANT text := split_part(field, '.', 1);
    column_name text := substr(field, length(split_part(field, '.', 1)) + 2);
    table_then text := table_name;
BEGIN
    -- What says so is renamed with the table, so all of it has the present name.
    FOR renamed IN
        SELECT a.changed_data ->> 'operation' AS operation, a.changed_data -> 'arguments' AS arguments
        FROM @schema@.activity AS a
        WHERE a.table_name = audit_logger_sealed_name.table_name AND a.schema = schema_name AND a.row_key IS NULL AND a.id > seen_id
          AND a.verb = 'maintenance' AND a.changed_data ->> 'operation' IN (
              'rename_audited_column', 'rename_audited_table')
        ORDER BY a.id DESC
    LOOP
        IF renamed.operation = 'rename_audited_table' THEN
            table_then := renamed.arguments ->> 0;
        ELSIF renamed.arguments ->> 0 = table_then AND renamed.arguments ->> 2 = column_name
          AND data IN ('old_data', 'changed_data') THEN
            column_name := renamed.arguments ->> 1;
        END IF;
    END LOOP;
    RETURN CASE WHEN strpos(field, '.') > 0 THEN data || '.' || column_name ELSE field END;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_sealed_name(text, text, text, bigint) FROM PUBLIC
