-- Finds the place (ctid) of the row of this transaction and context in the table "transaction": row_of_transaction,
-- or NULL.
    -- Where the last row of this transaction is, and of which context, stands in two settings, which a
    -- rollback to a savepoint takes back together with the row. Anybody can set them, and gains nothing:
    -- only a row of this very transaction is taken. Going straight to the row also leaves SERIALIZABLE
    -- transactions alone: reading an index would be a conflict with everybody who writes a row next to it.
    IF current_setting('audit_logger.transaction_row', true) ~ '^\(\d{1,9},\d{1,4}\)$' THEN
        IF current_setting('audit_logger.transaction_context', true) = ROW(
            nullif(current_setting('audit_logger.actor_id', true), ''),
            nullif(current_setting('audit_logger.client_addr', true), ''),
            nullif(current_setting('audit_logger.meta', true), ''))::text
        THEN
            row_of_transaction := current_setting('audit_logger.transaction_row', true);
        END IF;
    END IF;
