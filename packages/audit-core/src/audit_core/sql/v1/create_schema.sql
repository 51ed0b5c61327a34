-- Creates the schema of the trail, if there is none of this name. Its comment marks it as one that may be dropped.
DO $audit_logger$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = @schema_literal@) THEN
        CREATE SCHEMA @schema@;
        COMMENT ON SCHEMA @schema@ IS 'audit trail';
    END IF;
END
$audit_logger$
