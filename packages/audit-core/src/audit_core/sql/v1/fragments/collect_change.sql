-- Adds an activity of this command to "ids", and its keys to those that are looked through.
            CONTINUE WHEN each.verb = 'read' OR each.schema <> own.schema;
            EXIT WHEN each.native_transaction_id <> xid OR each.issued_at < statement_timestamp();
            IF each.verb IN ('insert', 'update', 'delete') AND each.id <> ALL (ids) THEN
                ids := ids || each.id;
                IF each.row_key <> ALL (keys) THEN
                    keys := keys || each.row_key;
                END IF;
                IF each.old_row_key <> ALL (keys) THEN
                    keys := keys || each.old_row_key;
                END IF;
            END IF;
