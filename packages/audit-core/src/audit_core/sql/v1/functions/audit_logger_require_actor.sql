CREATE OR REPLACE FUNCTION @schema@.audit_logger_require_actor(
    operation text, schema_name text, table_name text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
BEGIN
    IF nullif(current_setting('audit_logger.actor_id', true), '') IS NULL THEN
        RAISE EXCEPTION '% of %.% needs an actor', operation, schema_name, table_name
            USING ERRCODE = 'AU003',
                HINT = 'Say who makes the change: with audit_context(actor_id=...), or the setting audit_logger.actor_id.';
    END IF;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_require_actor(text, text, text) FROM PUBLIC
