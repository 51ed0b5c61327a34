-- Finds out whether this session has recorded something else in this command, which may have come later and be
-- recorded first: has_previous. Raises 55000 if nothing was ever marked by this session, or if it was made to forget.
        -- Settings could tell, and could be set by anybody. What a session put into a sequence last, nobody else can
        -- say, and only the owner can lower: who may use the sequence can draw from it, which makes it greater. No row
        -- of the trail is read, so that SERIALIZABLE transactions do not conflict.
        has_previous := currval(@command_sequence_literal@::regclass) >= command;
