-- Completes what the row trigger recorded of an INSERT, when the statement is over.
CREATE OR REPLACE TRIGGER audit_logger_insert_statement
AFTER INSERT ON @table@
REFERENCING NEW TABLE AS new_table
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_record_partitioned_statement(@arguments@)
