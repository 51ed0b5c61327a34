    -- Most statements of an application change one row. Simple expressions, which PL/pgSQL evaluates without
    -- a query, are much faster than a query.
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            old_json := to_jsonb(@old@);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_json := to_jsonb(@new@);
        END IF;
    EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
        IF TG_OP <> 'INSERT' THEN
            old_json := @schema@.audit_logger_row(@old@);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_json := @schema@.audit_logger_row(@new@);
        END IF;
    END;
    IF TG_NARGS > 0 THEN
@include arguments arguments=TG_ARGV@
    END IF;
    key_json := CASE TG_OP WHEN 'DELETE' THEN old_json ELSE new_json END;
    IF key_columns = '{}' OR NOT key_json ?& key_columns THEN
        key_columns := @schema@.audit_logger_key_columns(TG_RELID);
    END IF;
    IF included IS NOT NULL THEN
        excluded := ARRAY(
            SELECT name FROM jsonb_object_keys(key_json) AS k (name)
            WHERE name <> ALL (included) AND name <> ALL (key_columns));
    END IF;
    IF excluded <> '{}' THEN
        old_json := old_json - excluded;
        new_json := new_json - excluded;
    END IF;
    row_key := CASE WHEN cardinality(key_columns) = 1 THEN key_json ->> key_columns[1]
                    ELSE @schema@.audit_logger_composite_key(key_json, key_columns) END;
    IF TG_OP = 'UPDATE' THEN
        IF old_json = new_json THEN
            RETURN NULL;
        END IF;
        new_json := new_json - ARRAY(
            SELECT e.key FROM jsonb_each(old_json) AS e WHERE e.value = new_json -> e.key);
        old_row_key := CASE WHEN cardinality(key_columns) = 1 THEN nullif(old_json ->> key_columns[1], row_key)
                            WHEN new_json ?| key_columns
                            THEN @schema@.audit_logger_composite_key(old_json, key_columns) END;
    END IF;
    IF masked <> '{}' THEN
        old_json := @schema@.audit_logger_mask(old_json, masked);
        new_json := @schema@.audit_logger_mask(new_json, masked);
    END IF;
@include row_of_transaction@
    INSERT INTO @schema@.activity (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_row_key, old_data, changed_data)
    VALUES (
        coalesce(
            (SELECT t.id FROM @schema@.transaction AS t
             WHERE t.ctid = row_of_transaction
               AND t.native_transaction_id = xid AND t.issued_at = transaction_timestamp()),
            @schema@.audit_logger_transaction_id()),
        recorded_at, xid, TG_RELID, @schema_name@, @table_name@, lower(TG_OP),
        row_key, old_row_key, old_json, new_json);
