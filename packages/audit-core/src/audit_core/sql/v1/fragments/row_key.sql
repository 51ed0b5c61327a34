-- The key of a row, without a call of audit_logger_row_key() if it is short and has one column.
            CASE WHEN cardinality(key_columns) = 1 AND octet_length(@data@ ->> key_columns[1]) <= 1000
                 THEN @data@ ->> key_columns[1]
                 ELSE @schema@.audit_logger_row_key(@data@, key_columns) END
