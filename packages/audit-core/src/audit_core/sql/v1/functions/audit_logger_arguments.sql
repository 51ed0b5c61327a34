CREATE OR REPLACE FUNCTION @schema@.audit_logger_arguments(stored bytea) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    rest bytea := stored;
    split integer;
    arguments text[] := '{}';
BEGIN
    -- The catalog keeps the arguments of a trigger as one string, with a NUL after each.
    WHILE length(rest) > 0 LOOP
        split := position('\x00'::bytea IN rest);
        arguments := arguments || convert_from(substr(rest, 1, split - 1), getdatabaseencoding());
        rest := substr(rest, split + 1);
    END LOOP;
    RETURN arguments;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_arguments(bytea) FROM PUBLIC
