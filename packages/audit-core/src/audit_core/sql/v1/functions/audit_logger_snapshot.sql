-- Records the rows of an audited table that have no activity yet, so many pages at a time. Called by
-- op.snapshot_audited_table(). Raises AU006 if the table has no audit triggers, and AU007 if it has no primary key.
-- It commits after each batch, so it cannot have settings of its own; it runs with the rights of its caller.
CREATE OR REPLACE PROCEDURE @schema@.audit_logger_snapshot(relation regclass, pages integer)
LANGUAGE plpgsql
AS $audit_logger$
DECLARE
    member oid;
    rest bytea;
    arguments text[];
    schema_name text;
    table_name text;
    source text;
    key_columns text[];
    excluded text[];
    masked text[];
    may_exceed_jsonb boolean;
    begun_at CONSTANT timestamptz := pg_catalog.clock_timestamp();
    page bigint;
    last_page bigint;
BEGIN
@include local_value_settings@
    SELECT n.nspname, c.relname INTO schema_name, table_name
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = relation::oid;
    SELECT t.tgargs INTO rest
    FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    WHERE t.tgrelid = relation::oid AND p.proname::text LIKE 'audit\_logger\_record%'
      AND p.pronamespace = (SELECT s.oid FROM pg_catalog.pg_namespace AS s WHERE s.nspname = @schema_literal@)
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%.% has no audit triggers', schema_name, table_name
            USING ERRCODE = 'AU006', HINT = 'Call op.init_audit_logger_triggers() first, so that no change is missed.';
    END IF;
    arguments := @schema@.audit_logger_split_arguments(rest);
    FOR member IN
        WITH RECURSIVE tree (relid) AS (
            SELECT relation::oid
            UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.relid)
        SELECT c.oid
        FROM tree JOIN pg_catalog.pg_class AS c ON c.oid = tree.relid
        WHERE c.relkind = 'r' AND (c.oid = relation::oid OR c.relispartition)
        ORDER BY c.oid
    LOOP
        SELECT o.key_columns, o.excluded, o.masked
        INTO key_columns, excluded, masked
        FROM @schema@.audit_logger_read_options(member, arguments) AS o;
        may_exceed_jsonb := @schema@.audit_logger_may_exceed_jsonb(member);
        IF key_columns = '{}' THEN
            RAISE EXCEPTION '%.% has no primary key', schema_name, table_name
                USING ERRCODE = 'AU007', HINT = 'Without one, nobody could tell which rows have been recorded already.';
        END IF;
        SELECT pg_catalog.format('ONLY %I.%I', n.nspname, c.relname) INTO source
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = member;
        PERFORM @schema@.audit_logger_refuse_casts(member);
        page := 0;
        last_page := pg_catalog.pg_relation_size(member)
            / pg_catalog.current_setting('block_size')::bigint;
        WHILE page <= last_page LOOP
            -- A row that has an activity needs none: its state is known, and so a run that was cut off goes
            -- on where it stopped. The lock keeps the row as it is until its snapshot is committed.
            EXECUTE pg_catalog.format(
                'INSERT INTO %1$I.activity ('
                '    transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,'
                '    row_key, old_data, changed_data, masked) '
                'SELECT (SELECT %1$I.audit_logger_ensure_transaction()), pg_catalog.clock_timestamp(),'
                '    pg_catalog.pg_current_xact_id()::text::bigint, $1, $2, $3, ''snapshot'', row_key, ''{}'','
                '    %1$I.audit_logger_mask(payload, $6), nullif($6, ''{}'') '
                'FROM ('
                '    SELECT payload, place, %1$I.audit_logger_row_key(payload, $4) AS row_key'
                '    FROM ('
                '        SELECT CASE WHEN $7 THEN %1$I.audit_logger_to_jsonb(entry) ELSE pg_catalog.to_jsonb(entry) END'
                '               - $5 AS payload, place'
                '        FROM (SELECT (t.*)::record AS entry, t.ctid AS place FROM %2$s AS t'
                '              WHERE t.ctid >= $8 AND t.ctid < $9 FOR SHARE OF t) AS entries'
                '        OFFSET 0'
                '    ) AS converted'
                ') AS keyed '
                'WHERE NOT EXISTS ('
                '    SELECT FROM %1$I.activity AS a'
                '    WHERE a.table_name = $3 AND a.row_key = keyed.row_key AND a.schema = $2 AND a.verb <> ''read'') '
                'ORDER BY place',
                @schema_literal@, source)
            USING member, schema_name, table_name, key_columns, excluded, masked, may_exceed_jsonb,
                pg_catalog.format('(%s,0)', page)::tid, pg_catalog.format('(%s,0)', page + pages)::tid;
            COMMIT;
@include local_value_settings@
            page := page + pages;
        END LOOP;
    END LOOP;
    -- From here on each row has an activity, whatever retention removed before.
    PERFORM set_config('audit_logger.maintenance', 'on', true);
    INSERT INTO @schema@.activity_retention AS r (schema, table_name, snapshot_at)
    VALUES (schema_name, table_name, begun_at)
    ON CONFLICT ON CONSTRAINT activity_retention_pkey DO UPDATE SET snapshot_at = EXCLUDED.snapshot_at;
    PERFORM set_config('audit_logger.maintenance', '', true);
END
$audit_logger$
;;
REVOKE ALL ON PROCEDURE @schema@.audit_logger_snapshot(regclass, integer) FROM PUBLIC
