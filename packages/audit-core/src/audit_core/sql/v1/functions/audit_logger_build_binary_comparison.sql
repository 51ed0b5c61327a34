-- Builds the query that names the recorded columns whose values differ in binary though jsonb takes them for equal:
-- 0 and -0, 1.0 and 1.00, arrays with other bounds, json with other spaces. Called for updates. It reads the
-- transition tables, or for the level ROW the rows in $1 and $2. Returns NULL if the table has no such column.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_build_binary_comparison(
    relation oid, excluded text[], level text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $audit_logger$
DECLARE
    compared text;
BEGIN
    SELECT string_agg(
        format('CASE WHEN ROW(o.%1$I)::record *<> ROW(n.%1$I)::record THEN %2$L END', a.attname, a.attname), ', ')
    INTO compared
    FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (excluded)
      AND (t.oid IN ('float4'::regtype, 'float8'::regtype, 'json'::regtype)
           OR t.oid = 'numeric'::regtype AND a.atttypmod = -1
           OR t.typcategory = 'A' OR t.typtype IN ('c', 'd'));
    RETURN 'SELECT array_remove(ARRAY[' || compared || ']::text[], NULL) FROM '
        || CASE level WHEN 'ROW' THEN '(SELECT ($1).*) AS o, (SELECT ($2).*) AS n'
                      ELSE 'old_table AS o, new_table AS n' END;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_build_binary_comparison(oid, text[], text) FROM PUBLIC
