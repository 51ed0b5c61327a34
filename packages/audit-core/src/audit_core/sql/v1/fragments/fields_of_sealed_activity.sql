-- What a leaf commits to of an activity, each with a salt of its own: the keys, and each value of the row.
            SELECT 'row_key' AS name, a.row_key AS value WHERE a.row_key IS NOT NULL
            UNION ALL
            SELECT 'old_row_key', a.old_row_key WHERE a.old_row_key IS NOT NULL
            UNION ALL
            SELECT 'old_data.' || o.key, o.value::text
            FROM jsonb_each(CASE jsonb_typeof(a.old_data) WHEN 'object' THEN a.old_data END) AS o
            UNION ALL
            SELECT 'changed_data.' || c.key, c.value::text
            FROM jsonb_each(CASE jsonb_typeof(a.changed_data) WHEN 'object' THEN a.changed_data END) AS c
            UNION ALL
            SELECT 'old_data', a.old_data::text WHERE jsonb_typeof(a.old_data) <> 'object'
            UNION ALL
            SELECT 'changed_data', a.changed_data::text WHERE jsonb_typeof(a.changed_data) <> 'object'
