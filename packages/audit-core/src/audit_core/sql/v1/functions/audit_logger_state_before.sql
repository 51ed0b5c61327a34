CREATE OR REPLACE FUNCTION @schema@.audit_logger_state_before(
    schema_name text, name text, key text, before_id bigint, OUT state jsonb, OUT is_known boolean)
LANGUAGE plpgsql STABLE
@include index_settings@
AS $audit_logger$
BEGIN
    -- What stood under a key when an activity was recorded; NULL if nothing did.
    SELECT last.state, true INTO state, is_known
    FROM (
        (SELECT a.id, a.table_name, a.row_key AS found_key,
                CASE WHEN a.verb <> 'delete' THEN a.old_data || a.changed_data END AS state
         FROM @schema@.activity AS a
         WHERE (a.table_name, a.row_key, a.id) < (name, key, before_id) AND a.schema = schema_name
           AND a.verb IN ('insert', 'update', 'delete', 'snapshot')
         ORDER BY a.table_name DESC, a.row_key DESC, a.id DESC LIMIT 1)
        UNION ALL
        (SELECT a.id, a.table_name, a.old_row_key, NULL
         FROM @schema@.activity AS a
         WHERE (a.table_name, a.old_row_key, a.id) < (name, key, before_id) AND a.schema = schema_name
           AND a.old_row_key IS NOT NULL
         ORDER BY a.table_name DESC, a.old_row_key DESC, a.id DESC LIMIT 1)
    ) AS last
    WHERE last.table_name = name AND last.found_key = key
    ORDER BY last.id DESC LIMIT 1;
    is_known := coalesce(is_known, false);
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_state_before(text, text, text, bigint) FROM PUBLIC
