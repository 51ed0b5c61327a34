-- Records all rows that an INSERT inserted.
CREATE OR REPLACE TRIGGER audit_logger_insert
AFTER INSERT ON @table@
REFERENCING NEW TABLE AS new_table
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_record_statement(@arguments@)
