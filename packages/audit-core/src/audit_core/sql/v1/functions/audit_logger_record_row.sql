CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    -- A partition fires the triggers of the partitioned table, whichever of the two is written to. The
    -- history of a record stands under the name of the partitioned table, and relid tells the partition.
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
    schema_name text;
    table_name text;
    key_columns text[];
    excluded text[];
    masked text[];
    fragile boolean;
    old_row jsonb := '{}';
    new_row jsonb := '{}';
    changes jsonb;
    row_key text;
BEGIN
    SELECT n.nspname, c.relname INTO schema_name, table_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = root;
    IF 'require_actor=reject' = ANY (TG_ARGV) THEN
        PERFORM @schema@.audit_logger_require_actor(TG_OP, schema_name, table_name);
    END IF;
    IF lower(current_setting('audit_logger.enabled', true)) IN ('off', 'false', 'no', '0') THEN
        PERFORM @schema@.audit_logger_bypass(TG_RELID, schema_name, table_name, TG_OP, 1, TG_ARGV);
        RETURN NULL;
    END IF;
    SELECT o.key_columns, o.excluded, o.masked, o.fragile
    INTO key_columns, excluded, masked, fragile
    FROM @schema@.audit_logger_options(TG_RELID, TG_ARGV) AS o;

    IF TG_OP <> 'INSERT' THEN
        old_row := CASE WHEN fragile THEN @schema@.audit_logger_row(OLD) ELSE to_jsonb(OLD) END - excluded;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        new_row := CASE WHEN fragile THEN @schema@.audit_logger_row(NEW) ELSE to_jsonb(NEW) END - excluded;
    END IF;
    IF TG_OP = 'UPDATE' AND old_row = new_row THEN
        RETURN NULL;
    END IF;
    row_key := CASE
        WHEN cardinality(key_columns) = 1
            THEN (CASE TG_OP WHEN 'DELETE' THEN old_row ELSE new_row END) ->> key_columns[1]
        ELSE @schema@.audit_logger_composite_key(
            CASE TG_OP WHEN 'DELETE' THEN old_row ELSE new_row END, key_columns) END;
    changes := new_row - ARRAY(
        SELECT e.key FROM jsonb_each(old_row) AS e WHERE e.value = new_row -> e.key);
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_data, changed_data)
    VALUES (@schema@.audit_logger_transaction_id(), clock_timestamp(),
        pg_current_xact_id()::text::bigint, TG_RELID, schema_name, table_name, lower(TG_OP), row_key,
        CASE WHEN masked = '{}' THEN old_row ELSE @schema@.audit_logger_mask(old_row, masked) END,
        CASE WHEN masked = '{}' THEN changes ELSE @schema@.audit_logger_mask(changes, masked) END);
    IF TG_OP = 'DELETE' THEN
        -- It may be half of an UPDATE that moves the row to another partition.
        PERFORM set_config('audit_logger.deleted_from', root::text, true);
    END IF;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_row() FROM PUBLIC
