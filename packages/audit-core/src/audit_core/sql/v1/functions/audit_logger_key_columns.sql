-- Looks up the columns of the primary key. Called where the arguments of a trigger do not name them, or name columns
-- that are gone. Returns them in the order of the key, or an empty array if there is none.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_key_columns(relation oid) RETURNS text[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $audit_logger$
BEGIN
    RETURN ARRAY(
        SELECT a.attname::text
        FROM pg_index AS i JOIN pg_attribute AS a
          ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
        WHERE i.indrelid = relation AND i.indisprimary
        ORDER BY array_position(i.indkey, a.attnum));
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_key_columns(oid) FROM PUBLIC
