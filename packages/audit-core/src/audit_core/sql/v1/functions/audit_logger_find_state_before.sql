-- Finds the state that a key had before an activity was recorded. Called by audit_logger_reorder_row_activities().
-- Returns the row ("state", NULL if there was none), and whether the trail knows anything of the key ("is_known").
CREATE OR REPLACE FUNCTION @schema@.audit_logger_find_state_before(
    schema_name text, name text, key text, before_id bigint, OUT state jsonb, OUT is_known boolean)
LANGUAGE plpgsql STABLE
@include index_scan_settings@
AS $audit_logger$
DECLARE
    given record;
    taken record;
BEGIN
    SELECT a.id, a.issued_at, a.native_transaction_id, a.table_name, a.row_key,
           CASE WHEN a.verb <> 'delete' THEN
@include whole_old_data activity=a@
           || a.changed_data END AS state
    INTO given
    FROM @schema@.activity AS a
    WHERE (a.table_name, a.row_key, a.id) < (name, key, before_id) AND a.schema = schema_name
      AND a.verb IN ('insert', 'update', 'delete', 'snapshot')
    ORDER BY a.table_name DESC, a.row_key DESC, a.id DESC LIMIT 1;
    SELECT a.id, a.issued_at, a.native_transaction_id, a.table_name, a.old_row_key
    INTO taken
    FROM @schema@.activity AS a
    WHERE (a.table_name, a.old_row_key, a.id) < (name, key, before_id) AND a.schema = schema_name
      AND a.old_row_key IS NOT NULL
    ORDER BY a.table_name DESC, a.old_row_key DESC, a.id DESC LIMIT 1;
    is_known := coalesce(given.table_name = name AND given.row_key = key, false);
    IF is_known THEN
        state := given.state;
    END IF;
    IF taken.table_name = name AND taken.old_row_key = key AND (NOT is_known OR taken.id > given.id) THEN
        -- Where rows changed places, with one time, the key was taken from one and given to another.
        IF NOT is_known OR taken.issued_at <> given.issued_at
            OR taken.native_transaction_id <> given.native_transaction_id
        THEN
            state := NULL;
        END IF;
        is_known := true;
    END IF;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_find_state_before(text, text, text, bigint) FROM PUBLIC
