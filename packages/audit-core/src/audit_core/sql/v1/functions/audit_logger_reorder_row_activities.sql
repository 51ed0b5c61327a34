-- Puts the changes of one row in this command, and of rows that shared a key with it, into the order in which they
-- happened: each begins where the one before it ended. A statement trigger fires when its statement is over, so that
-- triggers of the application, referential actions and functions may have recorded later changes first.
-- Called by audit_logger_reorder_activities(). Returns the ids of the activities that it looked at, as they were.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_reorder_row_activities(own_id bigint) RETURNS bigint[]
LANGUAGE plpgsql
@include index_scan_settings@
SET enable_nestloop = off
AS $audit_logger$
DECLARE
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    own record;
    each record;
    keys text[];
    next_key integer := 1;
    ids bigint[] := '{}';
    times timestamptz[];
    -- Keys and states are numbered: below, 0 is nothing, and NULL is not known.
    states integer[];
    old_keys integer[];
    new_keys integer[];
    befores integer[];
    afters integer[];
    are_led boolean[];
    has_deltas boolean;
    is_gapless boolean;
    new_order integer[];
    place integer;
    next_place integer := 0;
    rows_under integer[];
    came_at timestamptz[];
    crowded integer := 0;
    is_late boolean := false;
    recorded_at timestamptz;
BEGIN
    SELECT a.schema, a.table_name, a.row_key, a.old_row_key INTO own
    FROM @schema@.activity AS a WHERE a.id = own_id;
    IF NOT FOUND THEN
        RETURN ids; -- put in order already, together with another one
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
        RETURN ids;
    END IF;
    ids := ARRAY(SELECT i.id FROM unnest(ids) AS i (id) ORDER BY i.id);
    WITH key AS MATERIALIZED (
        SELECT k.key, k.place, s.state, s.is_known
        FROM unnest(keys) WITH ORDINALITY AS k (key, place)
        CROSS JOIN LATERAL @schema@.audit_logger_find_state_before(own.schema, own.table_name, k.key, ids[1]) AS s
    ), change AS MATERIALIZED (
        SELECT i.place, a.issued_at, a.delta_depth IS NOT NULL AS is_delta, coalesce(a.old_row_key, a.row_key) AS old_key, a.row_key AS new_key,
               CASE WHEN a.verb <> 'insert' THEN a.whole END AS before,
               CASE WHEN a.verb <> 'delete' THEN a.whole || a.changed_data END AS after
        FROM unnest(ids) WITH ORDINALITY AS i (id, place)
        CROSS JOIN LATERAL (
            SELECT e.*,
@include whole_old_data activity=e@
                AS whole
            FROM @schema@.activity AS e WHERE e.id = i.id OFFSET 0
        ) AS a
    ), state AS MATERIALIZED (
        SELECT s.state, row_number() OVER () AS number
        FROM (SELECT before FROM change UNION SELECT after FROM change UNION SELECT key.state FROM key) AS s (state)
        WHERE s.state IS NOT NULL
    ), numbered AS MATERIALIZED (
        SELECT c.place, c.issued_at, o.place AS old_key, n.place AS new_key, o.is_known AS is_known,
               coalesce(b.number, 0) AS before, coalesce(a.number, 0) AS after
        FROM change AS c
        JOIN key AS o ON o.key = c.old_key
        JOIN key AS n ON n.key = c.new_key
        LEFT JOIN state AS b ON b.state = c.before
        LEFT JOIN state AS a ON a.state = c.after
    ), led AS MATERIALIZED (
        -- Does another change lead to where it begins?
        SELECT c.*, c.before > 0 AND (
                   c.before IN (SELECT o.after FROM numbered AS o WHERE o.before <> o.after)
                   OR c.old_key IN (SELECT o.new_key FROM numbered AS o WHERE o.before = 0)) AS is_led
        FROM numbered AS c
    ), known AS MATERIALIZED (
        -- What stood under a key that the trail knows nothing of, is what a change begins with that none leads to.
        SELECT key.place, CASE WHEN key.is_known THEN coalesce(s.number, 0) ELSE f.before END AS state
        FROM key
        LEFT JOIN state AS s ON s.state = key.state
        LEFT JOIN (
            SELECT l.old_key, min(l.before) AS before FROM led AS l WHERE l.before > 0 AND NOT l.is_led
            GROUP BY l.old_key HAVING count(DISTINCT l.before) = 1
        ) AS f ON f.old_key = key.place
    ), ended AS MATERIALIZED (
        SELECT e.state, count(*) AS times
        FROM (SELECT l.after FROM led AS l UNION ALL SELECT k.state FROM known AS k) AS e (state) GROUP BY e.state
    ), begun AS MATERIALIZED (
        SELECT l.before AS state, count(*) AS times
        FROM led AS l WHERE l.before > 0 AND l.is_known GROUP BY l.before
    )
    SELECT array_agg(l.old_key ORDER BY l.place), array_agg(l.new_key ORDER BY l.place),
           array_agg(l.before ORDER BY l.place), array_agg(l.after ORDER BY l.place),
           array_agg(l.is_led ORDER BY l.place), array_agg(l.issued_at ORDER BY l.place),
           (SELECT array_agg(k.state ORDER BY k.place) FROM known AS k),
           (SELECT bool_or(c.is_delta) FROM change AS c),
           NOT EXISTS (
               SELECT FROM begun AS b LEFT JOIN ended AS e ON e.state = b.state WHERE b.times > coalesce(e.times, 0))
    INTO old_keys, new_keys, befores, afters, are_led, times, states, has_deltas, is_gapless
    FROM led AS l;
    IF NOT is_gapless THEN
        RETURN ids; -- while the statement around them is not recorded, changes begin where none ends
    END IF;
    new_order := @schema@.audit_logger_find_order(
        states, array_fill(0, ARRAY[cardinality(states)]), old_keys, new_keys, befores, afters, are_led,
        ARRAY(SELECT generate_series(1, cardinality(ids))));
    IF new_order IS NULL THEN
        RETURN ids; -- something is missing in between
    END IF;
    IF has_deltas AND new_order <> ARRAY(SELECT generate_series(1, cardinality(ids))) THEN
        -- A delta rests on the activities before it, and others will be there.
        UPDATE @schema@.activity AS a
        SET delta_depth = NULL, old_data =
@include whole_old_data activity=a@
        WHERE a.id = ANY (ids) AND a.delta_depth IS NOT NULL;
    END IF;
    -- Rows that change places have the same time: as long as there are two under a key, the change is not over. A row
    -- that leaves a key later than it came there has another time.
    rows_under := ARRAY(
        SELECT CASE WHEN s.state > 0 THEN 1 ELSE 0 END
        FROM unnest(states) WITH ORDINALITY AS s (state, n) ORDER BY s.n);
    came_at := array_fill(NULL::timestamptz, ARRAY[cardinality(states)]);
    FOREACH place IN ARRAY new_order LOOP
        next_place := next_place + 1;
        IF crowded > 0 THEN
            NULL; -- at the time of the one before
        ELSIF is_late OR place <> next_place OR times[place] = came_at[old_keys[place]] THEN
            is_late := true;
            recorded_at := clock_timestamp();
        ELSE
            recorded_at := times[place];
        END IF;
        IF place <> next_place OR is_late OR recorded_at <> times[place] THEN
            UPDATE @schema@.activity AS a
            SET id = CASE WHEN is_late THEN nextval(@sequence_literal@::regclass) ELSE a.id END, issued_at = recorded_at
            WHERE a.id = ids[place];
        END IF;
        IF befores[place] > 0 AND (afters[place] = 0 OR old_keys[place] <> new_keys[place]) THEN
            rows_under[old_keys[place]] := greatest(rows_under[old_keys[place]] - 1, 0);
            crowded := crowded - CASE WHEN rows_under[old_keys[place]] = 1 THEN 1 ELSE 0 END;
        END IF;
        IF afters[place] > 0 AND (befores[place] = 0 OR old_keys[place] <> new_keys[place]) THEN
            rows_under[new_keys[place]] := rows_under[new_keys[place]] + 1;
            crowded := crowded + CASE WHEN rows_under[new_keys[place]] = 2 THEN 1 ELSE 0 END;
            came_at[new_keys[place]] := recorded_at;
        END IF;
    END LOOP;
    RETURN ids;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_reorder_row_activities(bigint) FROM PUBLIC
