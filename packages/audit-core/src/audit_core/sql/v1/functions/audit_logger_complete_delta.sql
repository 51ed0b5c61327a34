-- Returns the whole row before an update that is recorded as a delta. Called by what needs it in the database;
-- audit_core/reading/merging.py says the same in a query. If the activities that it rests on are gone, it returns what
-- the delta has.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_complete_delta(
    schema_name text, name text, key text, before_id bigint, delta_depth smallint, old_data jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
@include index_scan_settings@
AS $audit_logger$
DECLARE
    max_steps CONSTANT smallint := delta_depth;
    steps smallint := 0;
    each record;
    changes jsonb := '{}'::jsonb;
    state jsonb;
BEGIN
@include fold_changes trail=activity@
    RETURN coalesce(state, changes) || old_data;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_complete_delta(text, text, text, bigint, smallint, jsonb) FROM PUBLIC
