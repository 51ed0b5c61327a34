-- Keeps in activity_coverage what is recorded of a table, and since when. Called before triggers are created
-- ("before"), when they are there ("begin"), and before they are dropped ("end"). Nothing is written if nothing is new.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_write_coverage(relation regclass, moment text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off
AS $audit_logger$
DECLARE
    root CONSTANT oid := relation;
@include root_name@
    last @schema@.activity_coverage;
    new_event text;
    new_since timestamptz;
    found_operations text[];
    found_arguments text[];
    size bigint;
    estimate bigint;
    counted bigint;
    is_exact boolean := false;
    is_empty boolean;
BEGIN
    SELECT coalesce(array_agg(DISTINCT bit.name ORDER BY bit.name), '{}') INTO found_operations
    FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = quote_ident(@schema_literal@)::regnamespace
    JOIN (VALUES (4, 'insert'), (8, 'delete'), (16, 'update'), (32, 'truncate')) AS bit (value, name)
      ON t.tgtype & bit.value <> 0
    WHERE t.tgrelid = root AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
      AND p.proname IN (
          'audit_logger_record_statement', 'audit_logger_record_partitioned_row', 'audit_logger_record_truncate');
    SELECT coalesce(array_agg(DISTINCT arguments.argument ORDER BY arguments.argument), '{}') INTO found_arguments
    FROM pg_trigger AS t
    JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = quote_ident(@schema_literal@)::regnamespace
    CROSS JOIN unnest(@schema@.audit_logger_split_arguments(t.tgargs)) AS arguments (argument)
    WHERE t.tgrelid = root AND NOT t.tgisinternal AND starts_with(p.proname, 'audit_logger_record');
    SELECT c.* INTO last
    FROM @schema@.activity_coverage AS c
    WHERE c.table_name = root_name[2] AND c.schema = root_name[1] OR c.relid = root
    ORDER BY c.issued_at DESC LIMIT 1;
    CASE moment
    WHEN 'before' THEN
        IF last.event IN ('begin', 'change')
           AND (last.operations, last.arguments) IS DISTINCT FROM (found_operations, found_arguments)
        THEN
            -- Somebody dropped, disabled or altered the triggers. It was after the last change that they recorded.
            new_event := 'gap';
            new_since := greatest(last.issued_at, (
                SELECT max(a.issued_at)
                FROM (SELECT r.issued_at, r.schema, r.table_name FROM @schema@.activity AS r
                      ORDER BY r.id DESC LIMIT 10000) AS a
                WHERE a.schema = root_name[1] AND a.table_name = root_name[2]));
        END IF;
    WHEN 'begin' THEN
        IF last.event IN ('begin', 'change') THEN
            IF (last.operations, last.arguments, last.schema, last.table_name)
               IS DISTINCT FROM (found_operations, found_arguments, root_name[1], root_name[2])
            THEN
                new_event := 'change';
            END IF;
        ELSE
            new_event := 'begin';
        END IF;
    WHEN 'end' THEN
        IF last.event IN ('begin', 'change') THEN
            new_event := 'end';
        END IF;
    END CASE;
    IF new_event IS NULL THEN
        RETURN;
    END IF;
    IF has_table_privilege(relation, 'SELECT') AND NOT row_security_active(relation) THEN
        SELECT sum(pg_relation_size(c.oid)), sum(greatest(c.reltuples, 0)),
               -- A table that is nothing but an empty file. A query would lock its indexes, too, of all tables.
               bool_and(c.relkind = 'r' AND NOT c.relhassubclass AND c.relam = 2 AND pg_relation_size(c.oid) = 0)
        INTO size, estimate, is_empty
        FROM pg_class AS c
        WHERE c.oid = ANY (root || ARRAY(SELECT t.relid::oid FROM pg_partition_tree(root) AS t WHERE t.isleaf));
        is_exact := size < 67108864;
        IF is_empty THEN
            counted := 0;
        ELSIF is_exact THEN
            EXECUTE format('SELECT count(*) FROM %s', relation) INTO counted;
        ELSE
            EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', relation) INTO is_empty;
            is_exact := is_empty;
            counted := CASE WHEN is_empty THEN 0 ELSE estimate END;
        END IF;
    END IF;
    INSERT INTO @schema@.activity_coverage (
        issued_at, native_transaction_id, relid, schema, table_name, event, since, operations, arguments, sql_version,
        row_count, row_count_is_exact, actor_id)
    VALUES (
        clock_timestamp(), pg_current_xact_id()::text::bigint, root, root_name[1], root_name[2], new_event, new_since,
        found_operations, found_arguments, 1, counted, is_exact,
        nullif(current_setting('audit_logger.actor_id', true), ''));
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_write_coverage(regclass, text) FROM PUBLIC
