-- Called by audit_logger_record_truncate(). Returns whether a table has an enabled trigger of this operation that calls
-- this function of the trail.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_has_trigger(relation oid, function_name text, operation text)
RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
    SELECT EXISTS (
        SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE t.tgrelid = relation AND p.proname = function_name AND t.tgenabled IN ('O', 'A')
          AND p.pronamespace = (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = @schema_literal@)
          AND t.tgtype & CASE operation WHEN 'INSERT' THEN 4 WHEN 'DELETE' THEN 8 WHEN 'UPDATE' THEN 16
                                        WHEN 'TRUNCATE' THEN 32 END <> 0)
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_has_trigger(oid, text, text) FROM PUBLIC
