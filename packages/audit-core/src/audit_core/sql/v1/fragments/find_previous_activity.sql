-- Finds out whether this session has recorded something else in this command, which may have come later and be
-- recorded first: has_previous, or NULL if that is not known.
    -- Settings could tell, and could be set by anybody; what this session drew last from the sequence, nobody else can
    -- say. NULL if nothing was drawn, or if that was taken back. SERIALIZABLE transactions go by a setting: reading the
    -- end of the index would be a conflict with everybody who writes there.
    IF is_serializable THEN
        has_previous := coalesce(
            current_setting('audit_logger.recorded_at', true) = statement_timestamp()::text, false);
    ELSE
        BEGIN
            previous_id := currval(@sequence_literal@::regclass);
        EXCEPTION WHEN object_not_in_prerequisite_state THEN
            NULL; -- the first change of a session, or of one that was made to forget
        END;
        -- Not with currval() within: no index is used for what a volatile function returns.
        has_previous := (
            SELECT p.issued_at >= statement_timestamp() FROM @schema@.activity AS p WHERE p.id = previous_id);
    END IF;
