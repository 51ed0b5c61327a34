-- Drops the audit triggers of a table, of its partitions and of its children. Called when a table is to be audited no
-- longer. The end is written to the coverage first.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_drop_triggers(relation regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
AS $audit_logger$
DECLARE
    members CONSTANT oid[] := ARRAY(
        WITH RECURSIVE member (relid) AS (
            SELECT relation::oid
            UNION SELECT i.inhrelid FROM member AS m JOIN pg_inherits AS i ON i.inhparent = m.relid)
        SELECT m.relid FROM member AS m);
    statement text;
BEGIN
    PERFORM @schema@.audit_logger_write_coverage(relation, 'end'::text);
    -- The row triggers that partitions share go with those of their table.
    FOR statement IN
        SELECT format('DROP TRIGGER %I ON %I.%I', t.tgname, n.nspname, c.relname)
        FROM pg_trigger AS t
        JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = quote_ident(@schema_literal@)::regnamespace
        JOIN pg_class AS c ON c.oid = t.tgrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE t.tgrelid = ANY (members) AND t.tgparentid = 0 AND NOT t.tgisinternal
          AND starts_with(p.proname, 'audit_logger_record')
        ORDER BY 1
    LOOP
        EXECUTE statement;
    END LOOP;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_drop_triggers(regclass) FROM PUBLIC
