CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $audit_logger$
DECLARE
    -- A partition fires the triggers of the partitioned table, whichever of the two is written to. The
    -- history of a record stands under the name of the partitioned table, and relid tells the partition.
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
    schema_name text;
    table_name text;
    old_json jsonb := '{}';
    new_json jsonb := '{}';
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
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            old_json := to_jsonb(OLD);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_json := to_jsonb(NEW);
        END IF;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        IF TG_OP <> 'INSERT' THEN
            old_json := @schema@.audit_logger_row(OLD);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_json := @schema@.audit_logger_row(NEW);
        END IF;
    END;
    IF @schema@.audit_logger_write(
        TG_RELID, schema_name, table_name, TG_OP, TG_ARGV, clock_timestamp(), old_json, new_json
    ) AND TG_OP = 'DELETE' THEN
        -- It may be half of an UPDATE that moves the row to another partition.
        PERFORM set_config('audit_logger.deleted_from', root::text, true);
    END IF;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_row() FROM PUBLIC
