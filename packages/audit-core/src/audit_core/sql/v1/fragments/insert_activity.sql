-- Writes what prepare_activity made.
@include find_row_of_transaction@
    INSERT INTO @schema@.activity AS a (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_row_key, old_data, changed_data, masked)
    VALUES (
        coalesce(
            (SELECT t.id FROM @schema@.transaction AS t
             WHERE t.ctid = row_of_transaction
               AND t.native_transaction_id = xid AND t.issued_at = transaction_timestamp()),
            @schema@.audit_logger_ensure_transaction()),
        recorded_at, xid, TG_RELID, @schema_name@, @table_name@, lower(TG_OP),
        row_key, old_row_key, old_json, new_json, nullif(masked, '{}'))
