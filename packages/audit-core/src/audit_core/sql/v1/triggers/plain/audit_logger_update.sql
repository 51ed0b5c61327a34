-- Records all rows that an UPDATE changed.
CREATE OR REPLACE TRIGGER audit_logger_update
AFTER UPDATE ON @table@
REFERENCING OLD TABLE AS old_table NEW TABLE AS new_table
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_record_statement(@arguments@)
