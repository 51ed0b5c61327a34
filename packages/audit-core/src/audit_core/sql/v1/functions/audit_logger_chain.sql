CREATE OR REPLACE FUNCTION @schema@.audit_logger_chain(states jsonb, changes jsonb, rest integer[])
RETURNS integer[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    candidate integer;
    change jsonb;
    chosen integer[] := '{}';
    following integer[];
BEGIN
    -- Find an order in which each of the changes begins where the one before it ended; NULL if there is none. What stands
    -- under a key is in "states"; a key of which nothing is known is not. The order in which they were recorded comes
    -- first, and of a row that is older than the trail what no other change leads to.
    WHILE rest <> '{}' LOOP
        following := NULL;
        FOR candidate IN
            SELECT r.place
            FROM unnest(rest) AS r (place) CROSS JOIN LATERAL (SELECT changes -> r.place AS it) AS c
            WHERE (NOT states ? (c.it ->> 'old_key') OR states -> (c.it ->> 'old_key') = c.it -> 'before')
              AND (c.it -> 'old_key' = c.it -> 'key' OR NOT states ? (c.it ->> 'key')
                   OR states -> (c.it ->> 'key') = 'null')
            ORDER BY NOT states ? (c.it ->> 'old_key') AND c.it -> 'before' <> 'null' AND EXISTS (
                         SELECT FROM unnest(rest) AS o (place)
                         WHERE o.place <> r.place AND (
                             changes -> o.place -> 'after' = c.it -> 'before'
                             OR changes -> o.place -> 'before' = 'null'
                                AND changes -> o.place -> 'key' = c.it -> 'old_key')),
                     r.place
        LOOP
            change := changes -> candidate;
            IF cardinality(rest) > 6 THEN
                -- Too many to try them all.
                following := ARRAY[candidate];
                EXIT;
            END IF;
            following := @schema@.audit_logger_chain(
                states || jsonb_build_object(change ->> 'old_key', NULL)
                       || jsonb_build_object(change ->> 'key', change -> 'after'),
                changes, array_remove(rest, candidate));
            IF following IS NOT NULL THEN
                RETURN chosen || candidate || following;
            END IF;
        END LOOP;
        IF following IS NULL THEN
            RETURN NULL;
        END IF;
        chosen := chosen || candidate;
        states := states || jsonb_build_object(change ->> 'old_key', NULL)
                         || jsonb_build_object(change ->> 'key', change -> 'after');
        rest := array_remove(rest, candidate);
    END LOOP;
    RETURN chosen;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_chain(jsonb, jsonb, integer[]) FROM PUBLIC
