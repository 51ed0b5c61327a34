-- Called like the trigger of a plain table: so PostgreSQL refuses to attach an audited table whose triggers have not
-- been dropped, and no row is recorded twice.
CREATE OR REPLACE TRIGGER audit_logger_update
AFTER UPDATE ON @table@
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_record_partitioned_row(@arguments@)
