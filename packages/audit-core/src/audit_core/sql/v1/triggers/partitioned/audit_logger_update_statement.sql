-- Completes what the row trigger recorded of an UPDATE, when the statement is over.
CREATE OR REPLACE TRIGGER audit_logger_update_statement
AFTER UPDATE ON @table@
REFERENCING OLD TABLE AS old_table NEW TABLE AS new_table
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_record_partitioned_statement(@arguments@)
