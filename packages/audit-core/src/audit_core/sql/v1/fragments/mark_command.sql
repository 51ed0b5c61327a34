-- Marks this command as one in which something is recorded.
    IF has_previous IS NOT TRUE THEN
        marked_command := setval(@command_sequence_literal@::regclass, command);
    END IF;
