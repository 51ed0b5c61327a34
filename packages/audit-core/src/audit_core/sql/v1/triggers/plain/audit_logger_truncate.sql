-- Records a TRUNCATE, before the rows are gone.
CREATE OR REPLACE TRIGGER audit_logger_truncate
BEFORE TRUNCATE ON @table@
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_record_truncate(@arguments@)
