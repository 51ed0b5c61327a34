-- The statement trigger function of plain tables for INSERT, UPDATE and DELETE. It records all rows of a statement:
-- one row by expressions and a short INSERT, several rows by one INSERT ... SELECT.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
@include value_settings@
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
AS $audit_logger$
DECLARE
@include activity_variables@
    own_id bigint;
    first record;
    affected bigint;
    low bigint;
    is_few boolean;
    only_binary_changes boolean := false;
    may_exceed_jsonb boolean;
    old_columns text;
    new_columns text;
    old_values text;
    new_values text;
    unchanged text;
    has_twins boolean;
    stored text;
BEGIN
    -- In each query below, the innermost level has the columns of the application's table in scope and
    -- names nothing but whole rows.
    IF TG_OP = 'INSERT' THEN
        SELECT NULL AS before, (n.*)::record AS after, EXISTS (SELECT FROM new_table OFFSET 1) AS has_next,
@include has_cast_to_json@
        INTO first FROM new_table AS n LIMIT 1;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT (o.*)::record AS before, NULL AS after, EXISTS (SELECT FROM old_table OFFSET 1) AS has_next,
@include has_cast_to_json@
        INTO first FROM old_table AS o LIMIT 1;
    ELSE
        SELECT (o.*)::record AS before, (n.*)::record AS after, EXISTS (SELECT FROM new_table OFFSET 1) AS has_next,
@include has_cast_to_json@
        INTO first FROM old_table AS o CROSS JOIN new_table AS n LIMIT 1;
    END IF;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF first.has_cast_to_json THEN
        PERFORM @schema@.audit_logger_refuse_casts(TG_RELID);
    END IF;
@include if_policy_applies@
        IF TG_OP = 'DELETE' THEN
            SELECT count(*) INTO affected FROM old_table;
        ELSE
            SELECT count(*) INTO affected FROM new_table;
        END IF;
        IF @schema@.audit_logger_apply_policy(
            TG_RELID, TG_TABLE_SCHEMA::text, TG_TABLE_NAME::text, TG_OP, affected, TG_ARGV)
        THEN
            RETURN NULL;
        END IF;
    END IF;
    IF NOT first.has_next THEN
@include prepare_activity old=first.before new=first.after@
@include mark_command@
@include insert_activity schema_name=TG_TABLE_SCHEMA table_name=TG_TABLE_NAME@
        ;
        IF has_previous IS NOT FALSE THEN
            own_id := currval(@sequence_literal@::regclass);
            PERFORM @schema@.audit_logger_reorder_activities(own_id, own_id);
        END IF;
        RETURN NULL;
    END IF;

    SELECT o.key_columns, o.excluded, o.masked, o.stores_changes
    INTO key_columns, excluded, masked, stores_changes
    FROM @schema@.audit_logger_read_options(TG_RELID, TG_ARGV) AS o;
    may_exceed_jsonb := @schema@.audit_logger_may_exceed_jsonb(TG_RELID);

    BEGIN
@include find_marked_command@
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
@include guess_marked_command@
    END;
@include mark_command@
    IF has_previous OR has_previous IS NULL AND EXISTS (
        SELECT FROM @schema@.transaction AS t JOIN @schema@.activity AS a ON a.transaction_id = t.id
        WHERE t.native_transaction_id = xid AND a.issued_at >= statement_timestamp())
    THEN
        low := nextval(@sequence_literal@::regclass);
    END IF;

    -- OFFSET 0 keeps the conversion from being computed twice. The transaction's id is asked for by the first
    -- row, so that there is no transaction without activity.
    IF TG_OP = 'INSERT' THEN
        INSERT INTO @schema@.activity (
            transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data, masked)
        SELECT (SELECT @schema@.audit_logger_ensure_transaction()),
            recorded_at, xid, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'insert',
@include row_key data=new_row@
            ,
            '{}',
            CASE WHEN masked = '{}' THEN new_row ELSE @schema@.audit_logger_mask(new_row, masked) END,
            nullif(masked, '{}')
        FROM (
            SELECT CASE WHEN may_exceed_jsonb THEN @schema@.audit_logger_to_jsonb(entry) ELSE to_jsonb(entry) END
                   - excluded AS new_row
            FROM (SELECT (n.*)::record AS entry FROM new_table AS n) AS entries
            OFFSET 0
        ) AS converted;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO @schema@.activity (
            transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data, masked)
        SELECT (SELECT @schema@.audit_logger_ensure_transaction()),
            recorded_at, xid, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'delete',
@include row_key data=old_row@
            ,
            CASE WHEN masked = '{}' THEN old_row ELSE @schema@.audit_logger_mask(old_row, masked) END,
            '{}', nullif(masked, '{}')
        FROM (
            SELECT CASE WHEN may_exceed_jsonb THEN @schema@.audit_logger_to_jsonb(entry) ELSE to_jsonb(entry) END
                   - excluded AS old_row
            FROM (SELECT (o.*)::record AS entry FROM old_table AS o) AS entries
            OFFSET 0
        ) AS converted;
    ELSE
        -- Of a table that stores changes, a few rows take the same way as many.
        is_few := NOT stores_changes AND NOT EXISTS (SELECT FROM new_table OFFSET 100);
    END IF;
    IF is_few THEN
        -- The transition tables are filled in step. A full join cannot become a nested loop, so that a
        -- plan made for one row stays good for 50,000.
        INSERT INTO @schema@.activity (
            transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_row_key, old_data, changed_data, masked)
        SELECT (SELECT @schema@.audit_logger_ensure_transaction()),
            recorded_at, xid, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, 'update',
@include row_key data=new_row@
            ,
            CASE WHEN changes ?| key_columns THEN nullif(
@include row_key data=old_row@
            ,
@include row_key data=new_row@
            ) END,
            CASE WHEN masked = '{}' THEN old_row ELSE @schema@.audit_logger_mask(old_row, masked) END,
            CASE WHEN masked = '{}' THEN changes ELSE @schema@.audit_logger_mask(changes, masked) END,
            nullif(masked, '{}')
        FROM (
@include paired_rows@
            WHERE old_row <> new_row
        ) AS changed;
        GET DIAGNOSTICS affected = ROW_COUNT;
        -- Rows that changed, and are the same JSON as before?
        is_few := @schema@.audit_logger_build_binary_comparison(TG_RELID, excluded, TG_LEVEL) IS NULL OR affected = (
            SELECT count(*)
            FROM (SELECT (o.*)::record AS before, row_number() OVER () AS place FROM old_table AS o) AS olds
            JOIN (SELECT (n.*)::record AS after, row_number() OVER () AS place FROM new_table AS n) AS news
                USING (place)
            WHERE before *<> after);
        only_binary_changes := NOT is_few;
    END IF;
    IF NOT is_few THEN
        -- Of many rows, those in which nothing changed that is recorded are sorted out before they are converted,
        -- and unchanged columns are told by their values. Both need the names of the columns, as they are now, and
        -- so a statement that is made, and planned, each time: for a few rows that would take longer.
        SELECT string_agg(format('o.%I AS o%s', a.attname, a.attnum), ', '),
               string_agg(format('n.%I AS n%s', a.attname, a.attnum), ', '),
               string_agg('o' || a.attnum, ', '),
               string_agg('n' || a.attnum, ', '),
               string_agg(
                   format('CASE WHEN ROW(o%1$s)::record *= ROW(n%1$s)::record THEN %2$L END', a.attnum, a.attname),
                   ', ')
        INTO old_columns, new_columns, old_values, new_values, unchanged
        FROM pg_attribute AS a
        WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (excluded);
        stored := 'SELECT whole AS old_data, NULL::smallint AS delta_depth';
        IF stores_changes AND key_columns <> '{}' THEN
            -- Where several rows have one key, as in the middle of referential actions, nobody can tell which of them
            -- an activity is of. format() writes a value by the output function of its type, and calls no cast.
            EXECUTE format(
                'SELECT EXISTS (SELECT FROM new_table AS n GROUP BY %s HAVING count(*) > 1)',
                (SELECT string_agg(format('format(''%%s'', n.%I)', k.name), ', ') FROM unnest(key_columns) AS k (name)))
            INTO has_twins;
            IF NOT has_twins THEN
                stored := format($query$
                    SELECT CASE WHEN d.delta_depth IS NULL THEN d.whole ELSE
@include old_values data=d.whole changes=d.changes@
                           END AS old_data, d.delta_depth
                    FROM (SELECT whole, changes,
                                 CASE WHEN nullif(old_key, new_key) IS NULL THEN
                                     %I.audit_logger_find_delta_depth($4::text, $5::text, new_key, whole)
                                 END AS delta_depth
                          OFFSET 0) AS d
                    $query$, @schema_literal@);
            END IF;
        END IF;
        EXECUTE format($query$
            INSERT INTO %1$I.activity (
                transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
                row_key, old_row_key, old_data, changed_data, masked, delta_depth)
            SELECT (SELECT %1$I.audit_logger_ensure_transaction()),
                $1, $2, $3, $4, $5, 'update', new_key, nullif(old_key, new_key),
                stored.old_data,
                CASE WHEN $8 = '{}' THEN changes ELSE %1$I.audit_logger_mask(changes, $8) END,
                nullif($8, '{}'), stored.delta_depth
            FROM (
                SELECT CASE WHEN $8 = '{}' THEN old_row ELSE %1$I.audit_logger_mask(old_row, $8) END AS whole, changes,
                       CASE WHEN cardinality($6) = 1 AND octet_length(new_row ->> $6[1]) <= 1000 THEN new_row ->> $6[1]
                            ELSE %1$I.audit_logger_row_key(new_row, $6) END AS new_key,
                       CASE WHEN NOT changes ?| $6 THEN NULL
                            WHEN cardinality($6) = 1 AND octet_length(old_row ->> $6[1]) <= 1000 THEN old_row ->> $6[1]
                            ELSE %1$I.audit_logger_row_key(old_row, $6) END AS old_key
                FROM (
                    SELECT old_row, new_row, new_row - array_remove(unchanged, NULL) AS changes
                    FROM (
                        SELECT CASE WHEN $9 THEN %1$I.audit_logger_to_jsonb(before) ELSE to_jsonb(before) END
                               - $7 AS old_row,
                               CASE WHEN $9 THEN %1$I.audit_logger_to_jsonb(after) ELSE to_jsonb(after) END
                               - $7 AS new_row,
                               ARRAY[%6$s] AS unchanged
                        FROM (SELECT (o.*)::record AS before, row_number() OVER () AS place, %2$s
                              FROM old_table AS o) AS olds
                        JOIN (SELECT (n.*)::record AS after, row_number() OVER () AS place, %3$s
                              FROM new_table AS n) AS news USING (place)
                        WHERE ROW(%4$s)::record *<> ROW(%5$s)::record
                        OFFSET 0
                    ) AS converted
                    WHERE NOT $10 OR old_row = new_row
                ) AS changed
            ) AS keyed
            CROSS JOIN LATERAL (%7$s) AS stored
            $query$, @schema_literal@, old_columns, new_columns, old_values, new_values, unchanged, stored)
        USING recorded_at, xid, TG_RELID, TG_TABLE_SCHEMA, TG_TABLE_NAME, key_columns, excluded, masked,
            may_exceed_jsonb, only_binary_changes;
    END IF;

    IF low IS NOT NULL THEN
        PERFORM @schema@.audit_logger_reorder_activities(
            low, currval(@sequence_literal@::regclass));
    END IF;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_statement() FROM PUBLIC
