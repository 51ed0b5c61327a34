-- The schema and the name under which changes of a table are recorded.
    -- With this search path only a temporary table is written without its schema. No catalog has to be read by a query.
    root_name CONSTANT text[] := CASE WHEN pg_table_is_visible(root)
        THEN ARRAY[pg_my_temp_schema()::regnamespace::text] END || parse_ident(root::regclass::text);
