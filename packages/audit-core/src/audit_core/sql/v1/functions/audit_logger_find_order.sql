-- Finds an order in which each change begins where the one before it ended. Called by
-- audit_logger_reorder_row_activities() with changes that are numbered from 1, and by itself.
-- Returns their numbers in this order, or NULL if there is none.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_find_order(
    states integer[], guests integer[], old_keys integer[], new_keys integer[], befores integer[], afters integer[],
    are_led boolean[], rest integer[])
RETURNS integer[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    candidate integer;
    rank integer;
    ranks integer[] := '{}';
    best integer;
    best_rank integer;
    low integer := 1;
    chosen integer[] := '{}';
    following integer[];
    are_done boolean[];
    first_from integer[];
    next_from integer[];
    first_to integer[];
    next_to integer[];
    old_states integer[];
    old_guests integer[];
BEGIN
    -- What stands under a key is in "states": 0 for nothing, NULL if it is not known. The order in which the changes
    -- were recorded comes first, and of a row that is older than the trail what no other change leads to. Last come
    -- rows that are put under the key of another one, which has yet to leave; they are in "guests" until then: rows
    -- change places.
    IF cardinality(rest) > 6 THEN
        -- Too many to try them all. Those that leave a key and that go to it are listed, so that a change leads to the
        -- next.
        are_done := array_fill(false, ARRAY[cardinality(rest)]);
        first_from := array_fill(0, ARRAY[cardinality(states)]);
        first_to := first_from;
        next_from := array_fill(0, ARRAY[cardinality(rest)]);
        next_to := next_from;
        FOR place IN REVERSE cardinality(rest) .. 1 LOOP
            next_from[place] := first_from[old_keys[place]];
            first_from[old_keys[place]] := place;
            next_to[place] := first_to[new_keys[place]];
            first_to[new_keys[place]] := place;
        END LOOP;
        candidate := 0;
        WHILE cardinality(rest) - cardinality(chosen) > 6 LOOP
            best := NULL;
            best_rank := NULL;
            IF chosen <> '{}' THEN
                -- A key with two rows is to be left, and one that is free may have been waited for.
                IF guests[new_keys[candidate]] > 0 THEN
                    candidate := first_from[new_keys[candidate]];
                    WHILE candidate > 0 AND best IS NULL LOOP
                        IF NOT are_done[candidate] AND befores[candidate] > 0 THEN
@include rank_change@
                            best := CASE WHEN rank IS NOT NULL THEN candidate END;
                        END IF;
                        candidate := next_from[candidate];
                    END LOOP;
                ELSIF states[old_keys[candidate]] = 0 THEN
                    candidate := first_to[old_keys[candidate]];
                    WHILE candidate > 0 AND best IS NULL LOOP
                        IF NOT are_done[candidate] THEN
@include rank_change@
                            best := CASE WHEN rank = 1 THEN candidate END;
                        END IF;
                        candidate := next_to[candidate];
                    END LOOP;
                END IF;
            END IF;
            IF best IS NULL THEN
                WHILE are_done[low] LOOP
                    low := low + 1;
                END LOOP;
                FOR place IN low .. cardinality(rest) LOOP
                    CONTINUE WHEN are_done[place];
                    candidate := place;
@include rank_change@
                    IF rank < best_rank OR rank IS NOT NULL AND best_rank IS NULL THEN
                        best := place;
                        best_rank := rank;
                    END IF;
                    EXIT WHEN best_rank = 1;
                END LOOP;
            END IF;
            IF best IS NULL THEN
                RETURN NULL;
            END IF;
            candidate := best;
@include apply_change@
            are_done[candidate] := true;
            chosen := chosen || candidate;
        END LOOP;
        rest := ARRAY(
            SELECT d.place FROM unnest(are_done) WITH ORDINALITY AS d (is_done, place)
            WHERE NOT d.is_done ORDER BY d.place);
    END IF;
    IF rest = '{}' THEN
        RETURN chosen;
    END IF;
    FOREACH candidate IN ARRAY rest LOOP
@include rank_change@
        ranks := ranks || rank;
    END LOOP;
    old_states := states;
    old_guests := guests;
    FOR candidate IN
        SELECT r.place FROM unnest(rest, ranks) AS r (place, rank) WHERE r.rank IS NOT NULL ORDER BY r.rank, r.place
    LOOP
        states := old_states;
        guests := old_guests;
@include apply_change@
        following := @schema@.audit_logger_find_order(
            states, guests, old_keys, new_keys, befores, afters, are_led, array_remove(rest, candidate));
        IF following IS NOT NULL THEN
            RETURN chosen || candidate || following;
        END IF;
    END LOOP;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_find_order(
    integer[], integer[], integer[], integer[], integer[], integer[], boolean[], integer[]) FROM PUBLIC
