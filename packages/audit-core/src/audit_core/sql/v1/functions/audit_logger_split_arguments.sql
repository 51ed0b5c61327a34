-- Splits the arguments of a trigger, which pg_trigger keeps as one string with a NUL after each. Called by
-- audit_logger_write_coverage() and audit_logger_snapshot().
CREATE OR REPLACE FUNCTION @schema@.audit_logger_split_arguments(stored bytea) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    rest bytea := stored;
    split integer;
    arguments text[] := '{}';
BEGIN
    WHILE length(rest) > 0 LOOP
        split := position('\x00'::bytea IN rest);
        arguments := arguments || convert_from(substr(rest, 1, split - 1), getdatabaseencoding());
        rest := substr(rest, split + 1);
    END LOOP;
    RETURN arguments;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_split_arguments(bytea) FROM PUBLIC
