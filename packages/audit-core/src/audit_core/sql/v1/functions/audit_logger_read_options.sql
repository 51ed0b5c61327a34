-- Reads the arguments of an audit trigger. Called where more than one row is recorded at once. Returns the columns of
-- the primary key, those that are not recorded and those that are masked, as the table is now, and whether updates are
-- recorded as deltas.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_read_options(
    relation oid, arguments text[],
    OUT key_columns text[], OUT excluded text[], OUT masked text[], OUT stores_changes boolean)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $audit_logger$
DECLARE
    present CONSTANT text[] := ARRAY(
        SELECT a.attname::text
        FROM pg_attribute AS a
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped);
    included text[];
    argument text;
BEGIN
    key_columns := '{}';
    excluded := '{}';
    masked := '{}';
    stores_changes := false;
    IF arguments IS NOT NULL THEN
@include parse_options arguments=arguments@
    END IF;
    -- The arguments are as old as the last migration; the table may have been changed without one.
    IF key_columns = '{}' OR NOT key_columns <@ present THEN
        key_columns := @schema@.audit_logger_key_columns(relation);
    END IF;
    IF included IS NOT NULL THEN
        excluded := ARRAY(
            SELECT name FROM unnest(present) AS p (name)
            WHERE name <> ALL (included) AND name <> ALL (key_columns));
    END IF;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_read_options(oid, text[]) FROM PUBLIC
