-- Returns the recorded values with *** in place of those of the masked columns. Called by whatever writes an activity.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_mask(payload jsonb, masked text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
    SELECT payload || coalesce(jsonb_object_agg(name, '***'), '{}')
    FROM unnest(masked) AS m (name)
    WHERE payload ? name
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_mask(jsonb, text[]) FROM PUBLIC
