CREATE OR REPLACE FUNCTION @schema@.audit_logger_options(
    relation oid, arguments text[],
    OUT key_columns text[], OUT excluded text[], OUT masked text[], OUT fragile boolean)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    key_numbers int2[];
    included text[];
    argument text;
BEGIN
    -- Looked up at every statement, so that whatever anybody did to the table is followed.
    SELECT i.indkey[0:i.indnkeyatts - 1] INTO key_numbers
    FROM pg_index AS i
    WHERE i.indrelid = relation AND i.indisprimary;
    key_columns := ARRAY(
        SELECT a.attname::text
        FROM pg_attribute AS a
        WHERE a.attrelid = relation AND a.attnum = ANY (key_numbers)
        ORDER BY array_position(key_numbers, a.attnum));

    -- Only json, composites and domains can hold what jsonb cannot. The first question is the cheap one,
    -- and its answer is no for most tables.
    fragile := EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = relation AND a.attnum > 0
          AND (a.atttypid IN ('json'::regtype, 'json[]'::regtype) OR a.atttypid >= 16384));
    IF fragile THEN
        fragile := EXISTS (
            SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
            WHERE a.attrelid = relation AND a.attnum > 0
              AND (t.oid IN ('json'::regtype, 'json[]'::regtype)
                   OR t.typtype IN ('c', 'd')
                   OR t.typcategory = 'A' AND t.oid >= 16384));
    END IF;

    excluded := '{}';
    masked := '{}';
    IF arguments IS NOT NULL THEN
        FOREACH argument IN ARRAY arguments LOOP
            IF starts_with(argument, 'exclude=') THEN
                excluded := excluded || substr(argument, 9);
            ELSIF starts_with(argument, 'mask=') THEN
                masked := masked || substr(argument, 6);
            ELSIF starts_with(argument, 'include=') THEN
                included := included || substr(argument, 9);
            END IF;
        END LOOP;
        IF included IS NOT NULL THEN
            excluded := ARRAY(
                SELECT a.attname::text
                FROM pg_attribute AS a
                WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.attname::text <> ALL (included) AND a.attname::text <> ALL (key_columns));
        END IF;
    END IF;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_options(oid, text[]) FROM PUBLIC
