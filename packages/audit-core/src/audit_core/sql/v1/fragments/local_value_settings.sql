-- The value_settings for the present transaction, as SET clauses would have them.
    PERFORM pg_catalog.set_config('search_path'::text, 'pg_catalog, pg_temp'::text, true);
    PERFORM set_config('extra_float_digits', '1', true), set_config('TimeZone', 'UTC', true),
            set_config('DateStyle', 'ISO, YMD', true), set_config('IntervalStyle', 'postgres', true),
            set_config('bytea_output', 'hex', true), set_config('lc_monetary', 'C', true);
