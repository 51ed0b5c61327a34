-- The statement trigger function of partitioned tables for INSERT, UPDATE and DELETE. Each row was recorded by
-- audit_logger_record_partitioned_row(). It completes them with what only the end of a statement can tell: the bypasses
-- of its rows become one, the two halves of a row that moved to another partition become an update, and the
-- activities are put in order.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_partitioned_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
@include value_settings@
SET enable_seqscan = off
AS $audit_logger$
DECLARE
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
@include root_name@
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    is_serializable CONSTANT boolean := current_setting('transaction_isolation') = 'serializable';
    excluded text[];
    masked_columns text[];
    may_exceed_jsonb boolean;
    are_in_step boolean := false;
    each record;
    affected bigint;
    last_id bigint;
    strangers integer := 0;
    own_ids bigint[] := '{}';
    counted bigint[] := '{}';
BEGIN
    IF lower(current_setting('audit_logger.enabled', true)) IN ('off', 'false', 'no', '0') THEN
        FOR each IN
            SELECT a.id, a.verb, a.relid, a.native_transaction_id, a.issued_at
            FROM @schema@.activity AS a
            WHERE a.table_name = root_name[2] AND a.row_key IS NULL AND a.schema = root_name[1]
            ORDER BY a.id DESC
        LOOP
            EXIT WHEN each.native_transaction_id <> xid OR each.issued_at < statement_timestamp();
            IF each.verb = 'bypass' THEN
                counted := counted || each.id;
            END IF;
        END LOOP;
        IF cardinality(counted) > 1 THEN
            PERFORM set_config('audit_logger.maintenance', 'on', true);
            WITH single AS (
                DELETE FROM @schema@.activity AS a WHERE a.id = ANY (counted)
                RETURNING a.transaction_id, a.changed_data
            )
            INSERT INTO @schema@.activity (
                transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
                row_key, old_data, changed_data)
            SELECT s.transaction_id, clock_timestamp(), xid, TG_RELID, root_name[1], root_name[2], 'bypass', NULL, '{}',
                   (s.changed_data - 'rows') || jsonb_build_object('rows', sum((s.changed_data -> 'rows')::bigint))
            FROM single AS s
            GROUP BY s.transaction_id, s.changed_data - 'rows'
            ORDER BY s.changed_data - 'rows';
            PERFORM set_config('audit_logger.maintenance', '', true);
        END IF;
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        affected := (SELECT count(*) FROM new_table);
    ELSE
        affected := (SELECT count(*) FROM old_table);
    END IF;
    -- The setting saves a search, and hides nothing: without it the halves stay what they are.
    IF TG_OP = 'UPDATE' AND current_setting('audit_logger.deleted_from', true) = root::text THEN
        PERFORM set_config('audit_logger.deleted_from', '', true);
        -- A row that was suppressed on its way leaves the transition tables out of step. Then nobody can tell
        -- which rows belong together, and deletes and inserts stay what they are.
        are_in_step := (SELECT count(*) FROM old_table) = (SELECT count(*) FROM new_table);
    END IF;
    IF are_in_step THEN
        SELECT o.excluded, o.masked INTO excluded, masked_columns
        FROM @schema@.audit_logger_read_options(TG_RELID, TG_ARGV) AS o;
        may_exceed_jsonb := @schema@.audit_logger_may_exceed_jsonb(TG_RELID);
        PERFORM set_config('audit_logger.maintenance', 'on', true);
        -- An UPDATE that moves a row to another partition reaches the partitions as a DELETE and, next, an INSERT. Of
        -- rows that look alike, the last ones of this table are those of this statement, and each is taken once.
        WITH pair AS (
            SELECT p.old_row, p.new_row, p.changes, row_number() OVER (PARTITION BY p.old_row, p.new_row) AS place
            FROM (
@include paired_rows@
            ) AS p
        ), recent AS (
            SELECT a.id, a.verb, a.relid, a.row_key, a.old_data, a.changed_data,
                   lead(a.id) OVER following AS next_id, lead(a.verb) OVER following AS next_verb,
                   lead(a.relid) OVER following AS next_relid, lead(a.changed_data) OVER following AS next_data
            FROM @schema@.activity AS a
            WHERE a.transaction_id = @schema@.audit_logger_ensure_transaction()
              AND a.issued_at >= statement_timestamp()
              AND a.schema = root_name[1] AND a.table_name = root_name[2]
              AND (a.relid = root OR a.relid IN (SELECT t.relid FROM pg_partition_tree(root) AS t))
            WINDOW following AS (ORDER BY a.id)
        ), half AS (
            SELECT r.id, r.next_id, r.row_key, r.old_data, r.next_data,
                   row_number() OVER (PARTITION BY r.old_data, r.next_data ORDER BY r.id DESC) AS place
            FROM recent AS r
            WHERE r.verb = 'delete' AND r.next_verb = 'insert' AND r.relid <> r.next_relid
        ), move AS (
            SELECT half.id AS removed_id, half.next_id AS added_id, half.row_key AS old_row_key, half.old_data,
                   pair.changes
            FROM pair
            JOIN half ON half.place = pair.place
             AND half.old_data = @schema@.audit_logger_mask(pair.old_row, masked_columns)
             AND half.next_data = @schema@.audit_logger_mask(pair.new_row, masked_columns)
        ), forgotten AS (
            DELETE FROM @schema@.activity AS a USING move WHERE a.id = move.removed_id
        )
        UPDATE @schema@.activity AS a
        SET verb = 'update', old_row_key = nullif(move.old_row_key, a.row_key), old_data = move.old_data,
            changed_data = @schema@.audit_logger_mask(move.changes, masked_columns)
        FROM move
        WHERE a.id = move.added_id;
        PERFORM set_config('audit_logger.maintenance', '', true);
    END IF;
    IF affected > 0 AND NOT is_serializable THEN
        BEGIN
            -- Not within the query: no index is used for what a volatile function returns.
            last_id := currval(@sequence_literal@::regclass);
        EXCEPTION WHEN object_not_in_prerequisite_state THEN
            RETURN NULL; -- nothing was drawn: of these rows, nothing changed that is recorded
        END;
        -- The rows of this statement, and what else was recorded meanwhile.
        FOR each IN
            SELECT a.id, a.native_transaction_id, a.issued_at, a.schema, a.table_name
            FROM @schema@.activity AS a
            WHERE a.id <= last_id
            ORDER BY a.id DESC
        LOOP
            IF each.native_transaction_id <> xid THEN
                -- Of a transaction at the same time. They cannot go on for ever.
                strangers := strangers + 1;
                EXIT WHEN strangers > least(100 * affected, 10000);
            ELSIF each.issued_at < statement_timestamp() THEN
                EXIT;
            ELSIF each.table_name = root_name[2] AND each.schema = root_name[1] THEN
                own_ids := own_ids || each.id;
            END IF;
        END LOOP;
        IF cardinality(own_ids) > 1 THEN
            PERFORM @schema@.audit_logger_reorder_activities(min(a.id), max(a.id))
            FROM (
                SELECT r.id, count(*) OVER (PARTITION BY k.key) AS times
                FROM @schema@.activity AS r
                CROSS JOIN LATERAL (VALUES (r.row_key), (nullif(r.old_row_key, r.row_key))) AS k (key)
                WHERE r.id = ANY (own_ids) AND k.key IS NOT NULL
            ) AS a
            WHERE a.times > 1
            HAVING count(*) > 0;
        END IF;
    END IF;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_partitioned_statement() FROM PUBLIC
