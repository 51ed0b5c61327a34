CREATE OR REPLACE FUNCTION @schema@.audit_logger_is_fragile(relation oid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $audit_logger$
BEGIN
    -- Only json, composites and domains can hold what jsonb cannot.
    RETURN EXISTS (
        SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE a.attrelid = relation AND a.attnum > 0
          AND (t.oid IN ('json'::regtype, 'json[]'::regtype)
               OR t.typtype IN ('c', 'd')
               OR t.typcategory = 'A' AND t.oid >= 16384));
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_is_fragile(oid) FROM PUBLIC
