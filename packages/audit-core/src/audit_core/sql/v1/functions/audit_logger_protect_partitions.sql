-- Protects every partition of the trail from TRUNCATE: statement triggers are not inherited. Nor does
-- PostgreSQL keep statistics of what is recorded, from which nothing could be erased. Called when a trail is
-- created or refreshed, and when a partition is made.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_protect_partitions() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    member regclass;
BEGIN
    FOR member IN
        SELECT p.relid
        FROM pg_partition_tree((quote_ident(@schema_literal@) || '.activity')::regclass) AS p
        WHERE p.parentrelid IS NOT NULL AND NOT EXISTS (
            SELECT FROM pg_trigger AS t
            WHERE t.tgrelid = p.relid AND t.tgname = 'audit_logger_protect_table' AND t.tgenabled = 'O'
              -- BEFORE (2) TRUNCATE (32) FOR EACH STATEMENT
              AND t.tgtype = 34 AND t.tgqual IS NULL AND t.tgfoid = (
                  SELECT f.oid FROM pg_proc AS f
                  WHERE f.pronamespace = quote_ident(@schema_literal@)::regnamespace
                    AND f.proname = 'audit_logger_protect' AND f.pronargs = 0))
        ORDER BY p.relid
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER audit_logger_protect_table BEFORE TRUNCATE ON %s '
            'FOR EACH STATEMENT EXECUTE FUNCTION %I.audit_logger_protect()', member, @schema_literal@);
        EXECUTE format(
            'ALTER TABLE %s ALTER COLUMN old_data SET STATISTICS 0, ALTER COLUMN changed_data SET STATISTICS 0', member);
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER audit_logger_protect_table', member);
    END LOOP;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_protect_partitions() FROM PUBLIC
