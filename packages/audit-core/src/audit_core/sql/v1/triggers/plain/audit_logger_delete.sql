-- Records all rows that a DELETE deleted.
CREATE OR REPLACE TRIGGER audit_logger_delete
AFTER DELETE ON @table@
REFERENCING OLD TABLE AS old_table
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_record_statement(@arguments@)
