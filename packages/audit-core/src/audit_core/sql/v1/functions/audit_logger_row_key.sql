-- Returns what a row is called in the trail: the value of its key column as text, or a JSON array if there are several.
-- Called by whatever writes an activity, for a short key of one column in fragments/row_key.sql.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_row_key(payload jsonb, key_columns text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
    -- An entry of an index has a limit of 2,700 bytes. What stands for a longer key is longer than any key that
    -- stands for itself, so that the two cannot be mistaken for each other.
    SELECT CASE WHEN octet_length(written.key) > 1000
                THEN rpad('sha256:' || encode(sha256(convert_to(written.key, getdatabaseencoding())), 'hex'), 1001, '.')
                ELSE written.key END
    FROM (
        SELECT CASE WHEN cardinality(key_columns) = 1 THEN payload ->> key_columns[1]
                    ELSE (SELECT jsonb_agg(payload -> name ORDER BY place)::text
                          FROM unnest(key_columns) WITH ORDINALITY AS k (name, place)) END AS key
    ) AS written
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_row_key(jsonb, text[]) FROM PUBLIC
