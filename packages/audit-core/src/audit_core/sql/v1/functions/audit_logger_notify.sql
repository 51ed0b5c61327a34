-- Wakes those who wait for the next activity, when it is committed. The trigger that calls it is on the table
-- "transaction" only where somebody asked for it: a commit that notifies waits for all others that do.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_notify() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
BEGIN
    PERFORM pg_notify('audit_logger', @schema_literal@);
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_notify() FROM PUBLIC
