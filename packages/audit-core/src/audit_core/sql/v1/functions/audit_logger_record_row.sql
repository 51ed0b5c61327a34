CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    -- A partition fires the triggers of the partitioned table, whichever of the two is written to. The
    -- history of a record stands under the name of the partitioned table, and relid tells the partition.
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
@include record_one_variables@
    schema_name text;
    table_name text;
BEGIN
    SELECT n.nspname, c.relname INTO schema_name, table_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = root;
@include if_it_may_be_kept_out@
        -- The statement trigger of the table that was named says how many rows were kept out. Partitions that
        -- were attached later have none, so that their rows are counted here.
        IF @schema@.audit_logger_is_kept_out(
            TG_RELID, schema_name, table_name, TG_OP,
            CASE WHEN @schema@.audit_logger_has_trigger(TG_RELID, 'audit_logger_record_statement', TG_OP)
                 THEN 0 ELSE 1 END,
            TG_ARGV)
        THEN
            RETURN NULL;
        END IF;
    END IF;
@include record_one old=OLD new=NEW schema_name=schema_name table_name=table_name@
    IF TG_OP = 'DELETE' THEN
        -- It may be half of an UPDATE that moves the row to another partition.
        PERFORM set_config('audit_logger.deleted_from', root::text, true);
    END IF;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_row() FROM PUBLIC
