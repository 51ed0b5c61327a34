CREATE OR REPLACE TRIGGER audit_logger_update
AFTER UPDATE ON @table@
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_record_row(@arguments@)
