-- Copies the audit triggers of a table to its partitions and children, drops those of the table that are not in
-- "names" (NULL drops none), and writes the coverage. Called when triggers are created, and by hand for a partition or
-- a child that was made later.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_copy_triggers(relation regclass, names text[])
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
AS $audit_logger$
DECLARE
    descendants CONSTANT oid[] := ARRAY(
        WITH RECURSIVE descendant (relid) AS (
            SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = relation
            UNION SELECT i.inhrelid FROM descendant AS d JOIN pg_inherits AS i ON i.inhparent = d.relid)
        SELECT d.relid FROM descendant AS d);
    parent text;
    statement text;
BEGIN
    -- Of the table itself, only the named triggers stay.
    FOR statement IN
        SELECT format('DROP TRIGGER %I ON %s', t.tgname, relation)
        FROM pg_trigger AS t
        JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = quote_ident(@schema_literal@)::regnamespace
        WHERE t.tgrelid = relation AND t.tgparentid = 0 AND NOT t.tgisinternal
          AND starts_with(p.proname, 'audit_logger_record') AND t.tgname <> ALL (names)
    LOOP
        EXECUTE statement;
    END LOOP;
    IF descendants <> '{}' THEN
        SELECT format(' ON %I.%I ', n.nspname, c.relname) INTO parent
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = relation;
        -- Partitions share the row triggers of their table by themselves. The rest has to be copied: the
        -- statement triggers of partitions, and all triggers of tables that inherit in the old way.
        FOR statement IN
            WITH ours (relid, name, definition, function) AS (
                SELECT t.tgrelid, t.tgname, pg_get_triggerdef(t.oid), p.proname
                FROM pg_trigger AS t
                JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = quote_ident(@schema_literal@)::regnamespace
                WHERE t.tgrelid = ANY (relation::oid || descendants)
                  AND t.tgparentid = 0 AND NOT t.tgisinternal
                  AND starts_with(p.proname, 'audit_logger_record')
            ), member (relid, name, is_partition) AS (
                SELECT c.oid, format('%I.%I', n.nspname, c.relname), c.relispartition
                FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                WHERE c.oid = ANY (descendants) AND c.relkind IN ('r', 'p')
            ), wanted (relid, child, name, definition) AS (
                SELECT m.relid, m.name, o.name,
                       overlay(o.definition PLACING ' ON ' || m.name || ' '
                               FROM strpos(o.definition, parent) FOR length(parent))
                FROM member AS m
                JOIN ours AS o ON o.relid = relation AND (
                    NOT m.is_partition
                    OR o.function IN ('audit_logger_record_partitioned_statement', 'audit_logger_record_truncate'))
            )
            SELECT format('DROP TRIGGER %I ON %s', o.name, m.name)
            FROM member AS m JOIN ours AS o ON o.relid = m.relid
            WHERE NOT EXISTS (SELECT FROM wanted AS w WHERE w.relid = o.relid AND w.name = o.name)
            UNION ALL
            SELECT overlay(w.definition PLACING 'CREATE OR REPLACE TRIGGER' FROM 1 FOR length('CREATE TRIGGER'))
            FROM wanted AS w
            WHERE NOT EXISTS (
                SELECT FROM ours AS o
                WHERE o.relid = w.relid AND o.name = w.name AND o.definition = w.definition)
        LOOP
            EXECUTE statement;
        END LOOP;
    END IF;
    PERFORM @schema@.audit_logger_write_coverage(relation, 'begin'::text);
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_copy_triggers(regclass, text[]) FROM PUBLIC
