-- Protects the table of the consumers of streams.
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity_stream
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity_stream
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
