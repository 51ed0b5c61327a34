CREATE OR REPLACE FUNCTION @schema@.audit_logger_record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    -- Taken once, after the row locks are held: the history of a row has one order.
    recorded_at CONSTANT timestamptz := clock_timestamp();
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    excluded CONSTANT text[] := coalesce(TG_ARGV[0:], '{}');
    key_numbers int2[];
    key_columns text[];
    fragile boolean;
BEGIN
    IF current_setting('audit_logger.enabled', true) = 'off' THEN
        RETURN NULL;
    END IF;

    -- The key is looked up at every statement, so that whatever anybody did to the table is followed.
    SELECT i.indkey[0:i.indnkeyatts - 1] INTO key_numbers
    FROM pg_index AS i
    WHERE i.indrelid = TG_RELID AND i.indisprimary;
    key_columns := ARRAY(
        SELECT a.attname::text
        FROM pg_attribute AS a
        WHERE a.attrelid = TG_RELID AND a.attnum = ANY (key_numbers)
        ORDER BY array_position(key_numbers, a.attnum));

    -- Only json, composites and domains can hold what jsonb cannot. The first question is the cheap one,
    -- and its answer is no for most tables.
    fragile := EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = TG_RELID AND a.attnum > 0
          AND (a.atttypid IN ('json'::regtype, 'json[]'::regtype) OR a.atttypid >= 16384));
    IF fragile THEN
        fragile := EXISTS (
            SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
            WHERE a.attrelid = TG_RELID AND a.attnum > 0
              AND (t.oid IN ('json'::regtype, 'json[]'::regtype)
                   OR t.typtype IN ('c', 'd')
                   OR t.typcategory = 'A' AND t.oid >= 16384));
    END IF;

    -- In each query below, the innermost level has the columns of the application's table in scope and
    -- names nothing but whole rows. OFFSET 0 keeps the conversion from being computed twice. The
    -- transaction's id is asked for by the first row, so that there is no transaction without activity.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO @schema@.activity (
            transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data)
        SELECT (SELECT @schema@.audit_logger_transaction_id()),
            recorded_at, xid, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'insert',
            CASE WHEN cardinality(key_columns) = 1 THEN new_row ->> key_columns[1]
                 ELSE (SELECT jsonb_agg(new_row -> k ORDER BY place)::text
                       FROM unnest(key_columns) WITH ORDINALITY AS u (k, place)) END,
            '{}', new_row
        FROM (
            SELECT CASE WHEN fragile THEN @schema@.audit_logger_row(entry) ELSE to_jsonb(entry) END
                   - excluded AS new_row
            FROM (SELECT (n.*)::record AS entry FROM new_table AS n) AS entries
            OFFSET 0
        ) AS converted;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO @schema@.activity (
            transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data)
        SELECT (SELECT @schema@.audit_logger_transaction_id()),
            recorded_at, xid, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'delete',
            CASE WHEN cardinality(key_columns) = 1 THEN old_row ->> key_columns[1]
                 ELSE (SELECT jsonb_agg(old_row -> k ORDER BY place)::text
                       FROM unnest(key_columns) WITH ORDINALITY AS u (k, place)) END,
            old_row, '{}'
        FROM (
            SELECT CASE WHEN fragile THEN @schema@.audit_logger_row(entry) ELSE to_jsonb(entry) END
                   - excluded AS old_row
            FROM (SELECT (o.*)::record AS entry FROM old_table AS o) AS entries
            OFFSET 0
        ) AS converted;
    ELSIF (SELECT count(*) FROM old_table) = (SELECT count(*) FROM new_table) THEN
        -- The transition tables are filled in step. A full join cannot become a nested loop, so that a
        -- plan made for one row stays good for 50,000.
        INSERT INTO @schema@.activity (
            transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data)
        SELECT (SELECT @schema@.audit_logger_transaction_id()),
            recorded_at, xid, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'update',
            CASE WHEN cardinality(key_columns) = 1 THEN new_row ->> key_columns[1]
                 ELSE (SELECT jsonb_agg(new_row -> k ORDER BY place)::text
                       FROM unnest(key_columns) WITH ORDINALITY AS u (k, place)) END,
            old_row,
            new_row - ARRAY(
                SELECT e.key FROM jsonb_each(old_row) AS e WHERE e.value = new_row -> e.key)
        FROM (
            SELECT CASE WHEN fragile THEN @schema@.audit_logger_row(before) ELSE to_jsonb(before) END
                   - excluded AS old_row,
                   CASE WHEN fragile THEN @schema@.audit_logger_row(after) ELSE to_jsonb(after) END
                   - excluded AS new_row
            FROM (SELECT (o.*)::record AS before, row_number() OVER () AS place
                  FROM old_table AS o) AS olds
            FULL JOIN (SELECT (n.*)::record AS after, row_number() OVER () AS place
                       FROM new_table AS n) AS news USING (place)
            OFFSET 0
        ) AS converted
        WHERE old_row <> new_row;
    ELSE
        -- A row that went to another partition was suppressed there by a BEFORE INSERT trigger. From
        -- there on the tables are out of step: only the key can tell which rows belong together. What
        -- has no counterpart was taken away here, or put there.
        INSERT INTO @schema@.activity (
            transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data)
        SELECT (SELECT @schema@.audit_logger_transaction_id()),
            recorded_at, xid, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME,
            CASE WHEN old_row IS NULL THEN 'insert' WHEN new_row IS NULL THEN 'delete'
                 ELSE 'update' END,
            CASE WHEN cardinality(key_columns) = 1 THEN row_key ->> 0 ELSE row_key::text END,
            coalesce(old_row, '{}'),
            coalesce(new_row, '{}') - ARRAY(
                SELECT e.key FROM jsonb_each(old_row) AS e WHERE e.value = new_row -> e.key)
        FROM (
            SELECT old_row,
                   (SELECT jsonb_agg(old_row -> k ORDER BY place)
                    FROM unnest(key_columns) WITH ORDINALITY AS u (k, place)) AS row_key
            FROM (
                SELECT CASE WHEN fragile THEN @schema@.audit_logger_row(entry) ELSE to_jsonb(entry) END
                       - excluded AS old_row
                FROM (SELECT (o.*)::record AS entry FROM old_table AS o) AS entries
                OFFSET 0
            ) AS converted
        ) AS olds
        FULL JOIN (
            SELECT new_row,
                   (SELECT jsonb_agg(new_row -> k ORDER BY place)
                    FROM unnest(key_columns) WITH ORDINALITY AS u (k, place)) AS row_key
            FROM (
                SELECT CASE WHEN fragile THEN @schema@.audit_logger_row(entry) ELSE to_jsonb(entry) END
                       - excluded AS new_row
                FROM (SELECT (n.*)::record AS entry FROM new_table AS n) AS entries
                OFFSET 0
            ) AS converted
        ) AS news USING (row_key)
        WHERE old_row IS DISTINCT FROM new_row;
    END IF;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record() FROM PUBLIC
