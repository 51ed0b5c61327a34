            CASE WHEN cardinality(key_columns) = 1 AND octet_length(@data@ ->> key_columns[1]) <= 1000
                 THEN @data@ ->> key_columns[1]
                 ELSE @schema@.audit_logger_key(@data@, key_columns) END
