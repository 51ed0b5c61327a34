-- Reads the arguments of a trigger into key_columns, excluded, masked, included and stores_changes.
    FOREACH argument IN ARRAY @arguments@ LOOP
        IF starts_with(argument, 'key=') THEN
            key_columns := key_columns || substr(argument, 5);
        ELSIF starts_with(argument, 'exclude=') THEN
            excluded := excluded || substr(argument, 9);
        ELSIF starts_with(argument, 'mask=') THEN
            masked := masked || substr(argument, 6);
        ELSIF starts_with(argument, 'include=') THEN
            included := included || substr(argument, 9);
        ELSIF argument = 'store=changes' THEN
            stores_changes := true;
        END IF;
    END LOOP;
