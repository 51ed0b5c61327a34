-- Keeps what the seals need of activities or transactions of which values are about to go: what stands for each of these
-- values, and the salts of the others. The seed of all salts of such a row is forgotten. Called by whatever rewrites what
-- is sealed, before it does. maintenance_id is the activity that says so; fields are called as in docs/proof.md.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_keep_commitments(
    of_table text, ids bigint[], fields text[], maintenance_id bigint)
RETURNS void
LANGUAGE plpgsql
@include value_settings@
AS $audit_logger$
DECLARE
    is_activity CONSTANT boolean := of_table = 'activity';
    lowest CONSTANT bigint := (SELECT min(i.id) FROM unnest(ids) AS i(id));
    highest CONSTANT bigint := (SELECT max(i.id) FROM unnest(ids) AS i(id));
    sealed record;
    sealed_ids bigint[];
    first_place integer;
    places integer[];
    heights integer[];
    positions integer[];
    node_seeds bytea[];
    opened_places integer[];
    opened_seeds bytea[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('audit_logger_seal ' || @schema_literal@, 0));
    FOR sealed IN
        SELECT s.number, s.seen_id, l.activity_ids, l.transaction_ids, l.seeds
        FROM @schema@.activity_seal AS s JOIN @schema@.activity_seal_leaf AS l ON l.number = s.number
        WHERE CASE WHEN is_activity THEN s.from_id <= highest AND s.to_id >= lowest
                   ELSE s.from_transaction_id <= highest AND s.to_transaction_id >= lowest END
        ORDER BY s.number
    LOOP
        sealed_ids := CASE WHEN is_activity THEN sealed.activity_ids ELSE sealed.transaction_ids END;
        first_place := CASE WHEN is_activity THEN 0 ELSE cardinality(sealed.activity_ids) END;
        places := ARRAY(
            SELECT first_place + o.number - 1
            FROM unnest(sealed_ids) WITH ORDINALITY AS o(id, number)
            JOIN unnest(ids) AS i(id) ON i.id = o.id
            WHERE NOT EXISTS (
                SELECT FROM @schema@.activity_commitment AS c
                WHERE c.of_table = audit_logger_keep_commitments.of_table AND c.id = o.id));
        opened_places := '{}';
        opened_seeds := '{}';
        IF places <> '{}' THEN
            SELECT array_agg(n.height), array_agg(n.place), array_agg(n.seed)
            INTO heights, positions, node_seeds
            FROM (
                SELECT ('x' || encode(substr(sealed.seeds, g.start, 4), 'hex'))::bit(32)::integer AS height,
                    ('x' || encode(substr(sealed.seeds, g.start + 4, 4), 'hex'))::bit(32)::integer AS place,
                    substr(sealed.seeds, g.start + 8, 32) AS seed
                FROM generate_series(1, octet_length(sealed.seeds), 40) AS g(start)
            ) AS n;
            -- Those above a place are replaced by the two below them, down to the leaves.
            FOR level IN REVERSE coalesce((SELECT max(h) FROM unnest(heights) AS h), 0) .. 1 LOOP
                WITH nodes AS (
                    SELECT n.height, n.place, n.seed,
                        n.height = level AND n.place IN (
                            SELECT p.place >> level
                            FROM unnest(places) AS p(place)) AS is_above
                    FROM unnest(heights, positions, node_seeds) AS n(height, place, seed)
                ), replaced AS (
                    SELECT n.height, n.place, n.seed FROM nodes AS n WHERE NOT n.is_above
                    UNION ALL
                    SELECT n.height - 1, 2 * n.place + b.bit, sha256('\x04'::bytea || n.seed || b.byte)
                    FROM nodes AS n CROSS JOIN (VALUES (0, '\x00'::bytea), (1, '\x01'::bytea)) AS b(bit, byte)
                    WHERE n.is_above
                )
                SELECT array_agg(r.height), array_agg(r.place), array_agg(r.seed)
                INTO heights, positions, node_seeds FROM replaced AS r;
            END LOOP;
            SELECT array_agg(n.place) FILTER (WHERE n.is_opened), array_agg(n.seed) FILTER (WHERE n.is_opened)
            INTO opened_places, opened_seeds
            FROM (
                SELECT n.place, n.seed, n.height = 0 AND n.place IN (SELECT p.place FROM unnest(places) AS p(place)) AS is_opened
                FROM unnest(heights, positions, node_seeds) AS n(height, place, seed)
            ) AS n;
            UPDATE @schema@.activity_seal_leaf AS l
            SET seeds = coalesce((
                SELECT string_agg(int4send(n.height) || int4send(n.place) || n.seed, '\x'::bytea)
                FROM unnest(heights, positions, node_seeds) AS n(height, place, seed)
                WHERE NOT (n.height = 0 AND n.place IN (SELECT p.place FROM unnest(places) AS p(place)))), '\x')
            WHERE l.number = sealed.number;
        END IF;
        INSERT INTO @schema@.activity_commitment (of_table, id, field, commitment, salt, maintenance_id)
        SELECT of_table, o.id, f.sealed_name,
            CASE WHEN f.is_going THEN sha256('\x02'::bytea || n.salt || convert_to(f.value, 'UTF8')) END,
            CASE WHEN f.is_going THEN NULL ELSE n.salt END,
            CASE WHEN f.is_going THEN maintenance_id END
        FROM unnest(opened_places, opened_seeds) AS p(place, seed)
        JOIN unnest(sealed_ids) WITH ORDINALITY AS o(id, number) ON o.number + first_place = p.place + 1
        JOIN (
@include fields_as_sealed@
        ) AS f ON f.id = o.id
        CROSS JOIN LATERAL (
            SELECT sha256('\x03'::bytea || p.seed || convert_to(f.sealed_name, 'UTF8')) AS salt) AS n;
        UPDATE @schema@.activity_commitment AS c
        SET commitment = sha256('\x02'::bytea || c.salt || convert_to(f.value, 'UTF8')), salt = NULL,
            maintenance_id = audit_logger_keep_commitments.maintenance_id
        FROM (
@include fields_as_sealed@
        ) AS f
        WHERE f.is_going AND f.id = ANY (sealed_ids)
          AND c.of_table = audit_logger_keep_commitments.of_table AND c.id = f.id AND c.field = f.sealed_name
          AND c.salt IS NOT NULL;
    END LOOP;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_keep_commitments(text, bigint[], text[], bigint) FROM PUBLIC
