-- Drops the audit triggers of a table, of its partitions and of its children. Called when a table is to be audited no
-- longer. The end is written to the coverage first.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_drop_triggers(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    statement text;
BEGIN
    PERFORM @schema@.audit_logger_write_coverage(relation, 'end'::text);
    -- The row triggers that partitions share go with those of their table.
    FOR statement IN
        WITH RECURSIVE member (relid) AS (
            SELECT relation::oid
            UNION SELECT i.inhrelid FROM member AS m JOIN pg_inherits AS i ON i.inhparent = m.relid)
        SELECT format('DROP TRIGGER %I ON %I.%I', t.tgname, n.nspname, c.relname)
        FROM member AS m
        JOIN pg_class AS c ON c.oid = m.relid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_trigger AS t ON t.tgrelid = m.relid
        JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = quote_ident(@schema_literal@)::regnamespace
        WHERE t.tgparentid = 0 AND NOT t.tgisinternal
          AND starts_with(p.proname, 'audit_logger_record')
        ORDER BY 1
    LOOP
        EXECUTE statement;
    END LOOP;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_drop_triggers(regclass) FROM PUBLIC
