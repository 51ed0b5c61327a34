-- Puts the activities from first_id to last_id in order with the others of the same rows in the same command. Called
-- when a statement has been recorded and others may have recorded changes of the same rows before it.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_reorder_activities(first_id bigint, last_id bigint) RETURNS void
LANGUAGE plpgsql
@include index_scan_settings@
AS $audit_logger$
DECLARE
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    own_ids bigint[];
    own_id bigint;
    done_ids bigint[] := '{}';
BEGIN
    -- Those of rows and keys with others in the same command. Ordered in this way, only the index of the keys can
    -- answer, with the entry before each.
    own_ids := ARRAY(
        SELECT a.id FROM @schema@.activity AS a
        WHERE a.id BETWEEN first_id AND last_id AND a.native_transaction_id = xid AND (
            (SELECT e.native_transaction_id = xid AND e.issued_at >= statement_timestamp()
                    AND e.row_key = a.row_key AND e.table_name = a.table_name
             FROM @schema@.activity AS e
             WHERE (e.table_name, e.row_key, e.id) < (a.table_name, a.row_key, a.id) AND e.verb <> 'read'
             ORDER BY e.table_name DESC, e.row_key DESC, e.id DESC LIMIT 1)
            OR (SELECT e.native_transaction_id = xid AND e.issued_at >= statement_timestamp()
                    AND e.old_row_key = a.row_key AND e.table_name = a.table_name
                FROM @schema@.activity AS e
                WHERE (e.table_name, e.old_row_key, e.id) < (a.table_name, a.row_key, a.id)
                  AND e.old_row_key IS NOT NULL
                ORDER BY e.table_name DESC, e.old_row_key DESC, e.id DESC LIMIT 1)
            OR a.old_row_key IS NOT NULL AND (
                SELECT e.native_transaction_id = xid AND e.issued_at >= statement_timestamp()
                    AND e.row_key = a.old_row_key AND e.table_name = a.table_name
                FROM @schema@.activity AS e
                WHERE (e.table_name, e.row_key, e.id) < (a.table_name, a.old_row_key, a.id) AND e.verb <> 'read'
                ORDER BY e.table_name DESC, e.row_key DESC, e.id DESC LIMIT 1))
        ORDER BY a.id);
    IF own_ids = '{}' THEN
        RETURN;
    END IF;
    PERFORM set_config('audit_logger.maintenance', 'on', true);
    FOREACH own_id IN ARRAY own_ids LOOP
        IF own_id <> ALL (done_ids) THEN
            done_ids := done_ids || @schema@.audit_logger_reorder_row_activities(own_id);
        END IF;
    END LOOP;
    PERFORM set_config('audit_logger.maintenance', '', true);
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_reorder_activities(bigint, bigint) FROM PUBLIC
