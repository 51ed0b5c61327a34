CREATE OR REPLACE FUNCTION @schema@.audit_logger_options(
    relation oid, arguments text[],
    OUT key_columns text[], OUT excluded text[], OUT masked text[])
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    key_numbers int2[];
    number int2;
    name text;
    included text[];
    argument text;
BEGIN
    -- Looked up at every statement, so that whatever anybody did to the table is followed. Several small
    -- queries are faster than one with a join.
    SELECT i.indkey[0:i.indnkeyatts - 1] INTO key_numbers
    FROM pg_index AS i
    WHERE i.indrelid = relation AND i.indisprimary;
    key_columns := '{}';
    IF FOUND THEN
        FOREACH number IN ARRAY key_numbers LOOP
            SELECT a.attname INTO name FROM pg_attribute AS a WHERE a.attrelid = relation AND a.attnum = number;
            key_columns := key_columns || name;
        END LOOP;
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
