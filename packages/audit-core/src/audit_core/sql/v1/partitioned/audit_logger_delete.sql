CREATE OR REPLACE TRIGGER audit_logger_delete
AFTER DELETE ON @table@
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_record_row(@arguments@)
