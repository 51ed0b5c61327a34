-- Called by audit_logger_ensure_transaction(). Returns an address as inet, or NULL if it cannot be one.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_to_inet(address text) RETURNS inet
LANGUAGE plpgsql STABLE STRICT SET search_path = pg_catalog, pg_temp
AS $audit_logger$
BEGIN
    RETURN address::inet;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_to_inet(text) FROM PUBLIC
