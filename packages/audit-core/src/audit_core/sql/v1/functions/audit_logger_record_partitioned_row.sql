-- The row trigger function of partitioned tables for INSERT, UPDATE and DELETE. Partitions share it, so that a write
-- is recorded whichever table it names. audit_logger_record_partitioned_statement() completes what it recorded.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_partitioned_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
@include value_settings@
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $audit_logger$
DECLARE
    -- A partition fires the triggers of the partitioned table, whichever of the two is written to. The
    -- history of a record stands under the name of the partitioned table, and relid tells the partition.
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
@include activity_variables@
@include root_name@
    schema_name CONSTANT text := root_name[1];
    table_name CONSTANT text := root_name[2];
BEGIN
    IF (SELECT
@include has_cast_to_json@
    ) THEN
        PERFORM @schema@.audit_logger_refuse_casts(TG_RELID);
    END IF;
@include if_policy_applies@
        -- Each row is counted where it is, whatever happens before the statement ends. The trigger of the statement
        -- puts together what the rows have left.
        IF @schema@.audit_logger_apply_policy(TG_RELID, schema_name, table_name, TG_OP, 1::bigint, TG_ARGV) THEN
            RETURN NULL;
        END IF;
    END IF;
@include prepare_activity old=OLD new=NEW@
@include mark_command@
@include insert_activity schema_name=schema_name table_name=table_name@
    ;
    IF TG_OP = 'DELETE' THEN
        -- It may be half of an UPDATE that moves the row to another partition.
        PERFORM set_config('audit_logger.deleted_from', root::text, true);
    END IF;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_partitioned_row() FROM PUBLIC
