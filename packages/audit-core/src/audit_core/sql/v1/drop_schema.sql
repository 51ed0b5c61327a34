-- Drops the schema of the trail, if this library made it and nothing else is in it.
DO $audit_logger$
BEGIN
    -- Only the schema that this library made, and only when nothing else has moved in.
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace
               WHERE nspname = @schema_literal@
                 AND pg_catalog.obj_description(oid, 'pg_namespace') = 'audit trail') THEN
        DROP SCHEMA @schema@;
    END IF;
EXCEPTION WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'schema % is kept: it holds objects that are not of the audit trail', @schema_literal@;
END
$audit_logger$
