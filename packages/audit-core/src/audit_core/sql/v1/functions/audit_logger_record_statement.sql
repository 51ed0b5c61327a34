CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
    excluded text[];
    masked text[];
    fragile boolean;
    affected bigint;
    schema_name text;
    table_name text;
BEGIN
    -- What is recorded is recorded row by row. Left for the end of the statement are the number of rows that
    -- were kept out, and the rows that moved.
@include if_it_may_be_kept_out@
        IF TG_OP = 'INSERT' THEN
            SELECT count(*) INTO affected FROM new_table;
        ELSE
            SELECT count(*) INTO affected FROM old_table;
        END IF;
        SELECT n.nspname, c.relname INTO schema_name, table_name
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = root;
        IF affected > 0 AND @schema@.audit_logger_is_kept_out(
            TG_RELID, schema_name, table_name, TG_OP, affected, TG_ARGV)
        THEN
            RETURN NULL;
        END IF;
    END IF;
    IF TG_OP <> 'UPDATE' THEN
        RETURN NULL;
    END IF;
    IF current_setting('audit_logger.deleted_from', true) IS DISTINCT FROM root::text THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('audit_logger.deleted_from', '', true);
    -- A row that was suppressed on its way leaves the transition tables out of step. Then nobody can tell
    -- which rows belong together, and deletes and inserts stay what they are.
    IF (SELECT count(*) FROM old_table) <> (SELECT count(*) FROM new_table) THEN
        RETURN NULL;
    END IF;
    SELECT o.excluded, o.masked INTO excluded, masked
    FROM @schema@.audit_logger_options(TG_RELID, TG_ARGV) AS o;
    fragile := @schema@.audit_logger_is_fragile(TG_RELID);
    PERFORM set_config('audit_logger.maintenance', 'on', true);
    -- An UPDATE that moves a row to another partition reaches the partitions as a DELETE and an INSERT.
    WITH pair AS (
@include paired_rows@
    ), half AS (
        SELECT a.id, a.verb, a.relid, a.row_key, a.old_data, a.changed_data
        FROM @schema@.activity AS a
        WHERE a.transaction_id = @schema@.audit_logger_transaction_id()
          AND a.issued_at >= statement_timestamp()
          AND a.verb IN ('insert', 'delete')
    ), move AS (
        SELECT DISTINCT ON (removed.id) removed.id AS removed_id, added.id AS added_id,
               removed.row_key AS old_row_key, removed.old_data, pair.changes
        FROM pair
        JOIN half AS removed ON removed.verb = 'delete'
         AND removed.old_data = @schema@.audit_logger_mask(pair.old_row, masked)
        JOIN half AS added ON added.verb = 'insert' AND added.relid <> removed.relid
         AND added.changed_data = @schema@.audit_logger_mask(pair.new_row, masked)
        ORDER BY removed.id, added.id
    ), forgotten AS (
        DELETE FROM @schema@.activity AS a USING move WHERE a.id = move.removed_id
    )
    UPDATE @schema@.activity AS a
    SET verb = 'update', old_row_key = nullif(move.old_row_key, a.row_key), old_data = move.old_data,
        changed_data = @schema@.audit_logger_mask(move.changes, masked)
    FROM move
    WHERE a.id = move.added_id;
    PERFORM set_config('audit_logger.maintenance', '', true);
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_statement() FROM PUBLIC
