-- Runs statements that lock the tables of the trail for a moment, all or none. Returns false if somebody held a lock for
-- longer than that. Called in a transaction of its own, which ends behind it: writers wait no longer than for the lock.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_alter_trail(statements text[]) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '200ms'
AS $audit_logger$
DECLARE
    statement text;
BEGIN
    FOREACH statement IN ARRAY statements LOOP
        EXECUTE statement;
    END LOOP;
    RETURN true;
EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
    RETURN false;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_alter_trail(text[]) FROM PUBLIC
