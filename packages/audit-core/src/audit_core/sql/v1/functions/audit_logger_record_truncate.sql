CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    recorded_at CONSTANT timestamptz := clock_timestamp();
    truncating CONSTANT oid[] := coalesce(
        nullif(current_setting('audit_logger.truncating', true), ''), '{}')::oid[];
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
    schema_name text;
    table_name text;
    source text;
    lost bigint;
    key_columns text[];
    excluded text[];
    masked text[];
BEGIN
    -- TRUNCATE of a partitioned table fires the triggers of its partitions, too. The table that was named
    -- speaks for all of them, and says so until it is done.
    IF TG_WHEN = 'AFTER' THEN
        PERFORM set_config('audit_logger.truncating', array_remove(truncating, TG_RELID)::text, true);
        RETURN NULL;
    END IF;
    IF EXISTS (SELECT FROM pg_partition_ancestors(TG_RELID) AS a (relid)
               WHERE a.relid <> TG_RELID AND a.relid::oid = ANY (truncating)) THEN
        RETURN NULL;
    END IF;
    SELECT n.nspname, c.relname INTO schema_name, table_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = root;
    IF EXISTS (SELECT FROM pg_class AS c WHERE c.oid = TG_RELID AND c.relkind = 'p') THEN
        PERFORM set_config('audit_logger.truncating', (truncating || TG_RELID)::text, true);
        source := format('%I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    ELSE
        source := format('ONLY %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    END IF;
    EXECUTE 'SELECT count(*) FROM ' || source INTO lost;
    IF @schema@.audit_logger_is_kept_out(TG_RELID, schema_name, table_name, TG_OP, lost, TG_ARGV) THEN
        RETURN NULL;
    END IF;
    IF 'truncate=rows' = ANY (TG_ARGV) THEN
        SELECT o.key_columns, o.excluded, o.masked
        INTO key_columns, excluded, masked
        FROM @schema@.audit_logger_options(TG_RELID, TG_ARGV) AS o;
        EXECUTE format(
            'INSERT INTO %1$I.activity ('
            '    transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,'
            '    row_key, old_data, changed_data) '
            'SELECT (SELECT %1$I.audit_logger_transaction_id()), $1, $2, $3, $4, $5, ''delete'','
            '    CASE WHEN cardinality($6) = 1 THEN old_row ->> $6[1]'
            '         ELSE %1$I.audit_logger_composite_key(old_row, $6) END,'
            '    %1$I.audit_logger_mask(old_row, $8), ''{}'' '
            'FROM ('
            '    SELECT CASE WHEN $9 THEN %1$I.audit_logger_row(entry) ELSE to_jsonb(entry) END'
            '           - $7 AS old_row'
            '    FROM (SELECT (o.*)::record AS entry FROM %2$s AS o) AS entries'
            '    OFFSET 0'
            ') AS converted', @schema_literal@, source)
        USING recorded_at, pg_current_xact_id()::text::bigint, TG_RELID, schema_name, table_name,
            key_columns, excluded, masked,
            @schema@.audit_logger_is_fragile(TG_RELID);
    END IF;
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_data, changed_data)
    VALUES (@schema@.audit_logger_transaction_id(), recorded_at,
        pg_current_xact_id()::text::bigint, TG_RELID, schema_name, table_name, 'truncate',
        NULL, '{}', jsonb_build_object('rows', lost));
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_truncate() FROM PUBLIC
