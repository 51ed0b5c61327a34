-- Records an event: what happened and is no change of a row, such as a login. Called by audit_log.record_event(), and by
-- whoever may execute it. The activity is of no table of the application, so nobody can take it for a change; row_key is
-- the name of the event, by which it is found. Returns the activity's id. Raises AU014 if the name or the data cannot be
-- recorded.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_event(event_name text, target jsonb, data jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    -- Asked for before an id is drawn: readers of streams rely on it.
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    recorded bigint;
BEGIN
    IF event_name IS NULL OR event_name !~ '^[^[:cntrl:]]{1,200}$' THEN
        RAISE EXCEPTION 'the name of an event has to have 1 to 200 characters that can be printed' USING ERRCODE = 'AU014',
            HINT = 'Give a name such as login or invoice.sent; what else there is to say belongs in the data.';
    END IF;
    IF jsonb_typeof(target) <> 'object' OR jsonb_typeof(data) <> 'object' THEN
        RAISE EXCEPTION 'target and data of an event are JSON objects, or NULL' USING ERRCODE = 'AU014',
            HINT = 'Give an object.';
    END IF;
    IF octet_length(data::text) > 100000 OR octet_length(target::text) > 10000 THEN
        RAISE EXCEPTION 'the data of an event have % bytes, and 100000 are the limit', octet_length(data::text)
            USING ERRCODE = 'AU014', HINT = 'Record where they are instead.';
    END IF;
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_data, changed_data)
    VALUES (@schema@.audit_logger_ensure_transaction(), clock_timestamp(), xid, 0, @schema_literal@, 'activity', 'event',
        event_name, '{}', jsonb_strip_nulls(jsonb_build_object('event', event_name, 'target', target))
            || CASE WHEN data IS NULL THEN '{}' ELSE jsonb_build_object('data', data) END)
    RETURNING id INTO recorded;
    RETURN recorded;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_event(text, jsonb, jsonb) FROM PUBLIC
