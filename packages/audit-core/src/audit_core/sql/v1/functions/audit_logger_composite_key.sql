CREATE OR REPLACE FUNCTION @schema@.audit_logger_composite_key(payload jsonb, key_columns text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
    SELECT jsonb_agg(payload -> name ORDER BY place)::text
    FROM unnest(key_columns) WITH ORDINALITY AS k (name, place)
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_composite_key(jsonb, text[]) FROM PUBLIC
