-- Records each row that a DELETE deleted.
-- The trigger has the name of a plain table's, so that PostgreSQL refuses to attach an audited table whose triggers have
-- not been dropped: each row would be recorded twice.
CREATE OR REPLACE TRIGGER audit_logger_delete
AFTER DELETE ON @table@
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_record_partitioned_row(@arguments@)
