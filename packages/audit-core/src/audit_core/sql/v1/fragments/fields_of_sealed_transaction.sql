-- What a leaf commits to of a transaction, each with a salt of its own.
            SELECT 'actor_id' AS name, format('%s', t.actor_id) AS value WHERE t.actor_id IS NOT NULL
            UNION ALL
            SELECT 'client_addr', format('%s', t.client_addr) WHERE t.client_addr IS NOT NULL
            UNION ALL
            SELECT 'db_user', t.db_user
            UNION ALL
            SELECT 'application_name', t.application_name
            UNION ALL
            SELECT 'meta.' || m.key, m.value::text
            FROM jsonb_each(CASE jsonb_typeof(t.meta) WHEN 'object' THEN t.meta END) AS m
            UNION ALL
            SELECT 'meta', t.meta::text WHERE jsonb_typeof(t.meta) <> 'object'
