CREATE OR REPLACE FUNCTION @schema@.audit_logger_put_row_in_order(own_id bigint) RETURNS void
LANGUAGE plpgsql
@include index_settings@
AS $audit_logger$
DECLARE
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    own record;
    each record;
    keys text[];
    next_key integer := 1;
    ids bigint[] := '{}';
    states jsonb := '{}';
    changes jsonb := '[]';
    places integer[];
    new_order integer[];
    is_moved boolean := false;
BEGIN
    -- Triggers of statements fire when the statement is over. What the application's own triggers, referential actions,
    -- functions or other parts of the statement did to a row after its change may be recorded by then. Of each row, the
    -- changes of this command are put into the order in which they happened: each begins where the one before it ended.
    SELECT a.schema, a.table_name, a.row_key, a.old_row_key INTO own
    FROM @schema@.activity AS a WHERE a.id = own_id;
    IF NOT FOUND THEN
        RETURN; -- put in order already, together with another one
    END IF;
    keys := ARRAY[own.row_key];
    IF own.old_row_key IS NOT NULL THEN
        keys := keys || own.old_row_key;
    END IF;
    WHILE next_key <= cardinality(keys) LOOP
        FOR each IN
            SELECT e.id, e.native_transaction_id, e.issued_at, e.verb, e.row_key, e.old_row_key, e.table_name, e.schema
            FROM @schema@.activity AS e
            WHERE (e.table_name, e.row_key, e.id) <= (own.table_name, keys[next_key], 9223372036854775807)
            ORDER BY e.table_name DESC, e.row_key DESC, e.id DESC
        LOOP
            EXIT WHEN each.table_name <> own.table_name OR each.row_key <> keys[next_key];
@include collect_change@
        END LOOP;
        FOR each IN
            SELECT e.id, e.native_transaction_id, e.issued_at, e.verb, e.row_key, e.old_row_key, e.table_name, e.schema
            FROM @schema@.activity AS e
            WHERE (e.table_name, e.old_row_key, e.id) <= (own.table_name, keys[next_key], 9223372036854775807)
              AND e.old_row_key IS NOT NULL
            ORDER BY e.table_name DESC, e.old_row_key DESC, e.id DESC
        LOOP
            EXIT WHEN each.table_name <> own.table_name OR each.old_row_key <> keys[next_key];
@include collect_change@
        END LOOP;
        next_key := next_key + 1;
    END LOOP;
    IF cardinality(ids) < 2 THEN
        RETURN;
    END IF;
    ids := ARRAY(SELECT i.id FROM unnest(ids) AS i (id) ORDER BY i.id);
    SELECT coalesce(jsonb_object_agg(k.key, s.state) FILTER (WHERE s.is_known), '{}') INTO states
    FROM unnest(keys) AS k (key)
    CROSS JOIN LATERAL @schema@.audit_logger_state_before(own.schema, own.table_name, k.key, ids[1]) AS s;
    SELECT jsonb_agg(jsonb_build_object(
               'old_key', coalesce(a.old_row_key, a.row_key), 'key', a.row_key,
               'before', CASE WHEN a.verb <> 'insert' THEN a.old_data END,
               'after', CASE WHEN a.verb <> 'delete' THEN a.old_data || a.changed_data END) ORDER BY i.place)
    INTO changes
    FROM unnest(ids) WITH ORDINALITY AS i (id, place) JOIN @schema@.activity AS a ON a.id = i.id;
    -- While the statement around them is not recorded, changes begin where none ends.
    IF EXISTS (
        SELECT FROM (
            SELECT c.it -> 'before' AS state, count(*) AS times
            FROM jsonb_array_elements(changes) AS c (it)
            WHERE c.it -> 'before' <> 'null' AND states ? (c.it ->> 'old_key')
            GROUP BY 1
        ) AS begun
        WHERE begun.times >
            (SELECT count(*) FROM jsonb_array_elements(changes) AS o (it) WHERE o.it -> 'after' = begun.state)
            + (SELECT count(*) FROM jsonb_each(states) AS s WHERE s.value = begun.state))
    THEN
        RETURN;
    END IF;
    places := ARRAY(SELECT generate_series(0, cardinality(ids) - 1));
    new_order := @schema@.audit_logger_chain(states, changes, places);
    IF new_order IS NULL OR new_order = places THEN
        RETURN; -- something is missing in between, or all is well
    END IF;
    FOR place IN 1 .. cardinality(ids) LOOP
        is_moved := is_moved OR new_order[place] <> place - 1;
        IF is_moved THEN
            UPDATE @schema@.activity AS a
            SET id = nextval(@sequence_literal@::regclass), issued_at = clock_timestamp()
            WHERE a.id = ids[new_order[place] + 1];
        END IF;
    END LOOP;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_put_row_in_order(bigint) FROM PUBLIC
