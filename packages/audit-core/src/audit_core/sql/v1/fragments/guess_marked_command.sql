-- Follows an error in find_marked_command.
        -- This is the first change of a session, or of one that was made to forget (DISCARD SEQUENCES): has_previous stays
        -- NULL, and the trail is asked. SERIALIZABLE transactions would pay for that with conflicts.
        IF has_previous IS NULL AND current_setting('transaction_isolation') = 'serializable' THEN
            has_previous := false;
        END IF;
