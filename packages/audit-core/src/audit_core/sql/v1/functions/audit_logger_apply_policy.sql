-- Applies what the options of an audited table demand before a statement is recorded. Called by the triggers that
-- record. Raises AU003 where an actor is required and missing, and AU004 where a bypass is not allowed.
-- Returns whether the statement bypasses the trail; if so, it leaves an activity "bypass" with the number of rows.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_apply_policy(
    relation oid, schema_name text, table_name text, operation text, row_count bigint, arguments text[])
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
BEGIN
    IF 'require_actor=reject' = ANY (arguments)
       AND nullif(current_setting('audit_logger.actor_id', true), '') IS NULL
    THEN
        RAISE EXCEPTION '% of %.% needs an actor', operation, schema_name, table_name
            USING ERRCODE = 'AU003', HINT =
                'Say who makes the change: with audit_context(actor_id=...), or the setting audit_logger.actor_id.';
    END IF;
    IF lower(current_setting('audit_logger.enabled', true)) IN ('off', 'false', 'no', '0') THEN
        IF 'bypass=reject' = ANY (arguments) THEN
            RAISE EXCEPTION '% of %.% cannot bypass the audit trail', operation, schema_name, table_name
                USING ERRCODE = 'AU004', HINT = 'Do it without disable(), that is, with audit_logger.enabled not off.';
        END IF;
        IF row_count IS DISTINCT FROM 0 THEN
            INSERT INTO @schema@.activity (
                transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
                row_key, old_data, changed_data)
            VALUES (@schema@.audit_logger_ensure_transaction(), clock_timestamp(), pg_current_xact_id()::text::bigint,
                relation, schema_name, table_name, 'bypass', NULL, '{}',
                jsonb_build_object(
                    'operation', lower(operation), 'rows', row_count,
                    'reason', nullif(current_setting('audit_logger.bypass_reason', true), '')));
        END IF;
        RETURN true;
    END IF;
    RETURN false;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_apply_policy(oid, text, text, text, bigint, text[]) FROM PUBLIC
