-- The trigger function that protects the tables of the trail from UPDATE, DELETE and TRUNCATE. Raises AU005 unless
-- audit_logger.maintenance is on.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_protect() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
BEGIN
    IF current_setting('audit_logger.maintenance', true) = 'on' THEN
        RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW WHEN 'DELETE' THEN OLD END;
    END IF;
    RAISE EXCEPTION '% of %.% is not allowed: it is an audit trail', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'AU005',
            HINT = 'What was recorded is changed by the op.*_audited_* operations of a migration only.';
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_protect() FROM PUBLIC
