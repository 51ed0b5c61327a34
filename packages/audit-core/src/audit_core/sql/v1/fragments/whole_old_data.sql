-- The row before a change, be it recorded whole or as a delta.
            CASE WHEN @activity@.delta_depth IS NULL THEN @activity@.old_data
                 ELSE @schema@.audit_logger_complete_delta(
                     @activity@.schema, @activity@.table_name, @activity@.row_key, @activity@.id, @activity@.delta_depth,
                     @activity@.old_data) END
