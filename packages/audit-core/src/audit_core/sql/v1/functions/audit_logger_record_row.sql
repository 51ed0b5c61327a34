CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
@include value_settings@
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $audit_logger$
DECLARE
    -- A partition fires the triggers of the partitioned table, whichever of the two is written to. The
    -- history of a record stands under the name of the partitioned table, and relid tells the partition.
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
@include record_one_variables@
@include root_name@
    schema_name CONSTANT text := root_name[1];
    table_name CONSTANT text := root_name[2];
BEGIN
    IF (SELECT
@include has_cast_to_json@
    ) THEN
        PERFORM @schema@.audit_logger_refuse_casts(TG_RELID);
    END IF;
@include if_it_may_be_kept_out@
        -- Each row is counted where it is, whatever happens before the statement ends. The trigger of the statement
        -- puts together what the rows have left.
        IF @schema@.audit_logger_is_kept_out(TG_RELID, schema_name, table_name, TG_OP, 1::bigint, TG_ARGV) THEN
            RETURN NULL;
        END IF;
    END IF;
@include record_one old=OLD new=NEW@
@include insert_one schema_name=schema_name table_name=table_name@
    ;
    IF TG_OP = 'DELETE' THEN
        -- It may be half of an UPDATE that moves the row to another partition.
        PERFORM set_config('audit_logger.deleted_from', root::text, true);
    END IF;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_row() FROM PUBLIC
