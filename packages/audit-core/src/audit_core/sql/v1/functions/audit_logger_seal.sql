-- Seals a range of activities and a range of transactions, as docs/proof.md says byte by byte, and returns the
-- number of the seal; if there are no rows, nothing is written, and it is NULL. Called by audit_log.seal(), when nothing can be committed any more that
-- belongs to the ranges. Raises AU013 if something of them is sealed already.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_seal(
    from_id bigint, to_id bigint, from_transaction_id bigint, to_transaction_id bigint)
RETURNS bigint
LANGUAGE plpgsql
@include value_settings@
AS $audit_logger$
DECLARE
    -- Of a generator that is fit for keys: 244 bits.
    secret CONSTANT bytea := sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
    sealed_at CONSTANT timestamptz := clock_timestamp();
    activity_ids bigint[];
    transaction_ids bigint[];
    row_count integer;
    depth integer := 0;
    seeds bytea[] := ARRAY[secret];
    nodes bytea[];
    hashes bytea;
    root bytea;
    previous_hash bytea;
    -- What is rewritten later, says so in an activity with a larger id: those who rewrite wait for the same lock.
    seen_id bigint;
    number bigint;
    hash bytea;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('audit_logger_seal ' || @schema_literal@, 0));
    IF EXISTS (
        SELECT FROM @schema@.activity_seal AS s
        WHERE s.from_id <= audit_logger_seal.to_id AND s.to_id >= audit_logger_seal.from_id
           OR s.from_transaction_id <= audit_logger_seal.to_transaction_id
              AND s.to_transaction_id >= audit_logger_seal.from_transaction_id)
    THEN
        RAISE EXCEPTION 'activities % to % or transactions % to % are sealed already',
            from_id, to_id, from_transaction_id, to_transaction_id
            USING ERRCODE = 'AU013', HINT = 'Two sealed at once. Seal again: it goes on where the other one ended.';
    END IF;
    SELECT coalesce(max(a.id), 0) INTO seen_id FROM @schema@.activity AS a;
    activity_ids := ARRAY(
        SELECT a.id FROM @schema@.activity AS a WHERE a.id BETWEEN from_id AND to_id ORDER BY a.id);
    transaction_ids := ARRAY(
        SELECT t.id FROM @schema@.transaction AS t
        WHERE t.id BETWEEN from_transaction_id AND to_transaction_id ORDER BY t.id);
    row_count := cardinality(activity_ids) + cardinality(transaction_ids);
    IF row_count = 0 THEN
        RETURN NULL;
    END IF;
    WHILE 1 << depth < row_count LOOP
        depth := depth + 1;
    END LOOP;
    -- A seed for each row, out of the one at the root, so that one of them can be forgotten without the others.
    FOR level IN 1 .. depth LOOP
        seeds := ARRAY(
            SELECT sha256('\x04'::bytea || s.seed || b.bit)
            FROM unnest(seeds) WITH ORDINALITY AS s(seed, place)
            CROSS JOIN (VALUES ('\x00'::bytea), ('\x01'::bytea)) AS b(bit)
            ORDER BY s.place, b.bit LIMIT (row_count - 1 >> depth - level) + 1);
    END LOOP;
    -- First the activities, then the transactions, each by their ids.
    SELECT array_agg(l.leaf ORDER BY l.place), string_agg(l.leaf, '\x'::bytea ORDER BY l.place)
    INTO nodes, hashes
    FROM (
        SELECT o.place, sha256('\x00'::bytea ||
@include head_of_sealed_activity@
            || coalesce(f.fields, '\x'::bytea)) AS leaf
        FROM unnest(activity_ids, seeds[:cardinality(activity_ids)]) WITH ORDINALITY AS o(id, seed, place)
        JOIN @schema@.activity AS a ON a.id = o.id AND a.id BETWEEN from_id AND to_id
        CROSS JOIN LATERAL (
            SELECT string_agg(
                int4send(octet_length(n.name)) || n.name
                    || sha256('\x02'::bytea || sha256('\x03'::bytea || o.seed || n.name) || n.value),
                '\x'::bytea ORDER BY n.name) AS fields
            FROM (
                SELECT convert_to(x.name, 'UTF8') AS name, convert_to(x.value, 'UTF8') AS value FROM (
@include fields_of_sealed_activity@
                ) AS x
            ) AS n
        ) AS f
        UNION ALL
        SELECT cardinality(activity_ids) + o.place, sha256('\x00'::bytea ||
@include head_of_sealed_transaction@
            || coalesce(f.fields, '\x'::bytea)) AS leaf
        FROM unnest(transaction_ids, seeds[cardinality(activity_ids) + 1:]) WITH ORDINALITY AS o(id, seed, place)
        JOIN @schema@.transaction AS t ON t.id = o.id
        CROSS JOIN LATERAL (
            SELECT string_agg(
                int4send(octet_length(n.name)) || n.name
                    || sha256('\x02'::bytea || sha256('\x03'::bytea || o.seed || n.name) || n.value),
                '\x'::bytea ORDER BY n.name) AS fields
            FROM (
                SELECT convert_to(x.name, 'UTF8') AS name, convert_to(x.value, 'UTF8') AS value FROM (
@include fields_of_sealed_transaction@
                ) AS x
            ) AS n
        ) AS f
    ) AS l;
    -- The tree of RFC 6962: a node without a sibling goes up as it is.
    WHILE cardinality(nodes) > 1 LOOP
        nodes := ARRAY(
            SELECT CASE WHEN n.beside IS NULL THEN n.node ELSE sha256('\x01'::bytea || n.node || n.beside) END
            FROM (
                SELECT u.place, u.node, lead(u.node) OVER (ORDER BY u.place) AS beside
                FROM unnest(nodes) WITH ORDINALITY AS u(node, place)
            ) AS n
            WHERE n.place % 2 = 1 ORDER BY n.place);
    END LOOP;
    root := nodes[1];
    SELECT s.number + 1, s.hash INTO number, previous_hash
    FROM @schema@.activity_seal AS s ORDER BY s.number DESC LIMIT 1;
    number := coalesce(number, 1);
    hash := sha256('\x05'::bytea || (
        SELECT string_agg(int4send(octet_length(i.item)) || i.item, '\x'::bytea ORDER BY i.place)
        FROM unnest(ARRAY[
            '1'::bytea, number::text::bytea, (extract(epoch FROM sealed_at) * 1000000)::bigint::text::bytea,
            from_id::text::bytea, to_id::text::bytea, from_transaction_id::text::bytea, to_transaction_id::text::bytea,
            cardinality(activity_ids)::text::bytea, cardinality(transaction_ids)::text::bytea,
            seen_id::text::bytea, root, coalesce(previous_hash, '\x'::bytea)]) WITH ORDINALITY AS i(item, place)));
    INSERT INTO @schema@.activity_seal (
        number, sealed_at, from_id, to_id, from_transaction_id, to_transaction_id, activity_count, transaction_count,
        seen_id, root, previous_hash, hash)
    VALUES (number, sealed_at, from_id, to_id, from_transaction_id, to_transaction_id, cardinality(activity_ids),
        cardinality(transaction_ids), seen_id, root, previous_hash, hash);
    INSERT INTO @schema@.activity_seal_leaf (number, activity_ids, transaction_ids, hashes, seeds, removed_ids)
    VALUES (number, activity_ids, transaction_ids, hashes, int4send(depth) || int4send(0) || secret, '{}');
    RETURN number;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_seal(bigint, bigint, bigint, bigint) FROM PUBLIC
