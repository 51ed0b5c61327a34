-- The search path of a procedure that commits, set again in each of its transactions.
    PERFORM pg_catalog.set_config('search_path'::text, 'pg_catalog, pg_temp'::text, true);
