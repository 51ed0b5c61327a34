CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    lost bigint;
BEGIN
    IF current_setting('audit_logger.enabled', true) = 'off' THEN
        RETURN NULL;
    END IF;
    EXECUTE format('SELECT count(*) FROM %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO lost;
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_data, changed_data)
    VALUES (@schema@.audit_logger_transaction_id(), clock_timestamp(),
        pg_current_xact_id()::text::bigint, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'truncate',
        NULL, '{}', jsonb_build_object('rows', lost));
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_truncate() FROM PUBLIC
