            -- Has this session recorded anything else in this command? Then it may have come later, and be recorded first.
            -- Settings could tell, and could be set by anybody; what this session drew last from the sequence, nobody
            -- else can say. NULL if that was taken back. SERIALIZABLE transactions go by a setting: reading the end of
            -- the index would be a conflict with everybody who writes there.
            CASE WHEN is_serializable
                 THEN coalesce(current_setting('audit_logger.recorded_at', true) = statement_timestamp()::text, false)
                 ELSE (SELECT p.issued_at >= statement_timestamp() FROM @schema@.activity AS p WHERE p.id = previous_id)
            END AS has_previous
