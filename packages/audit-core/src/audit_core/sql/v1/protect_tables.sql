-- Protects the tables of the trail from UPDATE, DELETE and TRUNCATE.
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
SELECT @schema@.audit_logger_protect_partitions()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.transaction
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.transaction
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity_coverage
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity_coverage
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity_partition
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity_partition
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity_retention
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity_retention
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity_hold
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity_hold
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity_seal
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity_seal
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity_seal_leaf
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity_seal_leaf
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_rows
BEFORE DELETE OR UPDATE ON @schema@.activity_commitment
FOR EACH ROW EXECUTE FUNCTION @schema@.audit_logger_protect()
;;
CREATE OR REPLACE TRIGGER audit_logger_protect_table
BEFORE TRUNCATE ON @schema@.activity_commitment
FOR EACH STATEMENT EXECUTE FUNCTION @schema@.audit_logger_protect()
