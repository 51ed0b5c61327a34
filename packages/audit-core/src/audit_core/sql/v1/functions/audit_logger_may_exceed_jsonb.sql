-- Returns whether a table may hold values that jsonb cannot: only json, composites and domains can. Called for
-- statements of several rows, whose rows are then converted one by one by audit_logger_to_jsonb().
CREATE OR REPLACE FUNCTION @schema@.audit_logger_may_exceed_jsonb(relation oid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $audit_logger$
BEGIN
    RETURN EXISTS (
        SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
        WHERE a.attrelid = relation AND a.attnum > 0
          AND (t.oid IN ('json'::regtype, 'json[]'::regtype)
               OR t.typtype IN ('c', 'd')
               OR t.typcategory = 'A' AND t.oid >= 16384));
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_may_exceed_jsonb(oid) FROM PUBLIC
