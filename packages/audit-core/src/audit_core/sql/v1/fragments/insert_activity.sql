-- Writes what prepare_activity made; of an update only the changes, where that is wanted and enough.
    IF stores_changes AND TG_OP = 'UPDATE' AND old_row_key IS NULL THEN
        delta_depth := @schema@.audit_logger_find_delta_depth(
            @schema_name@::text, @table_name@::text, row_key, old_json);
        IF delta_depth IS NOT NULL THEN
            old_json :=
@include old_values data=old_json changes=new_json@
            ;
        END IF;
    END IF;
@include find_row_of_transaction@
    INSERT INTO @schema@.activity AS a (
        transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
        row_key, old_row_key, old_data, changed_data, masked, delta_depth)
    VALUES (
        coalesce(
            (SELECT t.id FROM @schema@.transaction AS t
             WHERE t.ctid = row_of_transaction
               AND t.native_transaction_id = xid AND t.issued_at = transaction_timestamp()),
            @schema@.audit_logger_ensure_transaction()),
        recorded_at, xid, TG_RELID, @schema_name@, @table_name@, lower(TG_OP),
        row_key, old_row_key, old_json, new_json, nullif(masked, '{}'), delta_depth)
