-- Finds the row that the activities under a key left before an id: state, or NULL if there was none. Goes back along
-- them to the last one that has the whole row, at most so many steps.
    FOR each IN
        SELECT e.schema, e.table_name, e.row_key, e.verb, e.delta_depth, e.old_data, e.changed_data
        FROM @schema@.@trail@ AS e
        WHERE (e.table_name, e.row_key, e.id) < (name, key, before_id)
        ORDER BY e.table_name DESC, e.row_key DESC, e.id DESC
    LOOP
        EXIT WHEN each.table_name <> name OR each.row_key <> key;
        CONTINUE WHEN each.schema <> schema_name OR each.verb NOT IN ('insert', 'update', 'delete', 'snapshot');
        steps := steps + 1;
        IF each.delta_depth IS NULL AND each.verb <> 'delete' THEN
            state := each.old_data || each.changed_data || changes;
        END IF;
        EXIT WHEN each.delta_depth IS NULL OR steps = max_steps;
        changes := each.changed_data || changes;
    END LOOP;
