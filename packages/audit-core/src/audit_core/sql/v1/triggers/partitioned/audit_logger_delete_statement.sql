-- Completes what the row trigger recorded of a DELETE, when the statement is over.
CREATE OR REPLACE TRIGGER audit_logger_delete_statement
AFTER DELETE ON @table@
REFERENCING OLD TABLE AS old_table
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_record_partitioned_statement(@arguments@)
