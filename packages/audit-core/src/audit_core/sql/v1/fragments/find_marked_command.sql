-- Finds out whether this session has recorded something else in this command, which may have come later and be
-- recorded first: has_previous. It stays NULL if that cannot be told.
    BEGIN
        -- Settings could tell, and could be set by anybody. What a session put into a sequence last, nobody else can
        -- say, and only the owner can lower: who may use the sequence can draw from it, which makes it greater. No row
        -- of the trail is read, so that SERIALIZABLE transactions do not conflict.
        has_previous := currval(@command_sequence_literal@::regclass) >= command;
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        -- This is the first change of a session, or of one that was made to forget (DISCARD SEQUENCES): the trail is
        -- asked. SERIALIZABLE transactions would pay for that with conflicts.
        IF current_setting('transaction_isolation') = 'serializable' THEN
            has_previous := false;
        END IF;
    END;
