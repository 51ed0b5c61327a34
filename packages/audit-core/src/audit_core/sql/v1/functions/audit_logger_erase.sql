-- Erases values out of activities and transactions, leaves an activity "maintenance" that says so, and returns its id.
-- Called by audit_log.erase() and op.erase_audited_values(). What is erased of an activity is null and masked from then
-- on.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_erase(
    activity_ids bigint[], columns text[], transaction_ids bigint[], fields text[], said jsonb)
RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    -- Asked for before an id is drawn: readers of streams rely on it.
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    maintenance_id CONSTANT bigint := nextval(@sequence_literal@::regclass);
    was_on CONSTANT text := current_setting('audit_logger.maintenance', true);
    activity_count bigint;
    transaction_count bigint;
BEGIN
    PERFORM set_config('audit_logger.maintenance', 'on', true);
    PERFORM @schema@.audit_logger_keep_commitments('activity', activity_ids, ARRAY(
        SELECT d.data || c.name FROM unnest(columns) AS c(name), unnest(ARRAY['old_data.', 'changed_data.']) AS d(data)),
        maintenance_id);
    PERFORM @schema@.audit_logger_keep_commitments('transaction', transaction_ids, fields, maintenance_id);
    UPDATE @schema@.activity AS a
    SET old_data = a.old_data || coalesce((
            SELECT jsonb_object_agg(c.name, NULL) FROM unnest(columns) AS c(name) WHERE a.old_data ? c.name), '{}'),
        changed_data = a.changed_data || coalesce((
            SELECT jsonb_object_agg(c.name, NULL) FROM unnest(columns) AS c(name) WHERE a.changed_data ? c.name), '{}'),
        masked = coalesce(a.masked, '{}') || gone.names,
        erased = coalesce(a.erased, '{}') || gone.names
    FROM (
        SELECT e.id, ARRAY(
            SELECT c.name FROM unnest(columns) AS c(name)
            WHERE (e.old_data ? c.name OR e.changed_data ? c.name) AND c.name <> ALL (coalesce(e.masked, '{}'))
        ) AS names
        FROM @schema@.activity AS e WHERE e.id = ANY (activity_ids)
    ) AS gone
    WHERE a.id = gone.id AND gone.names <> '{}';
    GET DIAGNOSTICS activity_count = ROW_COUNT;
    UPDATE @schema@.transaction AS t
    SET client_addr = CASE WHEN 'client_addr' = ANY (fields) THEN NULL ELSE t.client_addr END,
        actor_id = CASE WHEN 'actor_id' = ANY (fields) THEN NULL ELSE t.actor_id END,
        application_name = CASE WHEN 'application_name' = ANY (fields) THEN '' ELSE t.application_name END,
        meta = t.meta - ARRAY(SELECT substr(f.name, 6) FROM unnest(fields) AS f(name) WHERE f.name LIKE 'meta.%'),
        erased = ARRAY(SELECT DISTINCT f.name FROM unnest(coalesce(t.erased, '{}') || fields) AS f(name) ORDER BY f.name)
    WHERE t.id = ANY (transaction_ids);
    GET DIAGNOSTICS transaction_count = ROW_COUNT;
    PERFORM set_config('audit_logger.maintenance', coalesce(was_on, ''), true);
    INSERT INTO @schema@.activity (
        id, transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb, old_data, changed_data)
    VALUES (maintenance_id, @schema@.audit_logger_ensure_transaction(), clock_timestamp(), xid,
        (quote_ident(@schema_literal@) || '.activity')::regclass, @schema_literal@, 'activity', 'maintenance', '{}',
        said || jsonb_build_object('operation', 'erase', 'columns', columns, 'fields', fields,
            'activities', activity_count, 'transactions', transaction_count));
    RETURN maintenance_id;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_erase(bigint[], text[], bigint[], text[], jsonb) FROM PUBLIC
