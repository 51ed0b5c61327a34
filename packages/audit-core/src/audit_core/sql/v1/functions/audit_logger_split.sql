-- Closes the open partition of the trail and begins another one. Called by op.split_audit_logger() and
-- audit_log.split(). Nothing happens if the open partition holds nothing of an earlier month, unless at_once is true, or
-- if another session is at it. Writers wait for a moment at most. Raises AU012 if, for as long as patience lasts, some
-- transaction held a lock on the trail; then everything is as before.
-- It commits after each step, so it cannot have settings of its own; it runs with the rights of its caller.
CREATE OR REPLACE PROCEDURE @schema@.audit_logger_split(at_once boolean, patience interval)
LANGUAGE plpgsql
AS $audit_logger$
DECLARE
    trail regclass;
    lock_key bigint;
    deadline timestamptz := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) patience;
    open_partition name;
    from_id text;
    end_id bigint;
    last_drawn bigint;
    begun_at timestamptz;
    number integer := 0;
    closed_name name;
    unfinished record;
    has_constraint boolean;
    is_done boolean;
    counted bigint;
    first_transaction bigint;
    last_transaction bigint;
    names text[];
BEGIN
@include local_search_path@
    trail := (quote_ident(@schema_literal@) || '.activity')::regclass;
    -- Held by the session, since there are several transactions: a lock that is left over is gone with it.
    lock_key := hashtextextended('audit_logger_split ' || trail::oid, 0);
    IF NOT pg_try_advisory_lock(lock_key) THEN
        RAISE NOTICE 'another session is splitting %', trail;
        RETURN;
    END IF;
    SELECT c.relname, substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''(-?\d+)''\)'), k.oid IS NOT NULL
    INTO open_partition, from_id, has_constraint
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.conname = 'audit_logger_split'
    WHERE i.inhparent = trail AND pg_get_expr(c.relpartbound, c.oid) LIKE '% TO (MAXVALUE)';
    EXECUTE format('SELECT a.issued_at FROM %I.%I AS a ORDER BY a.id LIMIT 1', @schema_literal@, open_partition)
    INTO begun_at;
    IF begun_at < date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' OR at_once AND begun_at IS NOT NULL
    THEN
        SELECT s.last_value INTO last_drawn FROM @sequence@ AS s;
        -- While the constraint is there, ids must not reach it: room for ten times what the partition has.
        end_id := last_drawn + greatest(1000000, 10 * (last_drawn - coalesce(from_id::bigint, 0)));
        end_id := (end_id + 999999) / 1000000 * 1000000;
        LOOP
            number := number + 1;
            closed_name := 'activity_p' || lpad(number::text, greatest(4, length(number::text)), '0');
            EXIT WHEN NOT EXISTS (SELECT FROM @schema@.activity_partition AS p WHERE p.name = closed_name::text)
                AND NOT EXISTS (
                    SELECT FROM pg_class AS c
                    WHERE c.relname = closed_name AND c.relnamespace = quote_ident(@schema_literal@)::regnamespace);
        END LOOP;
        -- With this constraint, and validated, the partition can be attached again without being read under a lock.
        LOOP
            is_done := @schema@.audit_logger_alter_trail(ARRAY[
                format('ALTER TABLE %I.%I DROP CONSTRAINT IF EXISTS audit_logger_split, '
                       'ADD CONSTRAINT audit_logger_split CHECK (%s id < %s) NOT VALID',
                       @schema_literal@, open_partition, 'id >= ' || from_id || ' AND', end_id)]);
            COMMIT;
@include local_search_path@
            EXIT WHEN is_done OR clock_timestamp() > deadline;
            PERFORM pg_sleep(least(1 + random(), extract(epoch FROM patience) / 10));
        END LOOP;
        IF is_done THEN
            EXECUTE format(
                'ALTER TABLE %I.%I VALIDATE CONSTRAINT audit_logger_split', @schema_literal@, open_partition);
            COMMIT;
@include local_search_path@
            LOOP
                is_done := @schema@.audit_logger_alter_trail(ARRAY[
                    format('ALTER TABLE %I.activity DETACH PARTITION %I.%I',
                           @schema_literal@, @schema_literal@, open_partition),
                    format('ALTER TABLE %I.%I RENAME TO %I', @schema_literal@, open_partition, closed_name),
                    format('ALTER TABLE %I.activity ATTACH PARTITION %I.%I FOR VALUES FROM (%s) TO (%s)',
                           @schema_literal@, @schema_literal@, closed_name, coalesce(from_id, 'MINVALUE'), end_id),
                    format('COMMENT ON TABLE %I.%I IS %L', @schema_literal@, closed_name,
                           'audit trail: a closed partition'),
                    format('CREATE TABLE %I.%I PARTITION OF %I.activity FOR VALUES FROM (%s) TO (MAXVALUE)',
                           @schema_literal@, open_partition, @schema_literal@, end_id),
                    format('SELECT %I.audit_logger_copy_grants(%L::regclass, %L::regclass)', @schema_literal@,
                           format('%I.%I', @schema_literal@, closed_name),
                           format('%I.%I', @schema_literal@, open_partition)),
                    format('SELECT %I.audit_logger_protect_partitions()', @schema_literal@),
                    format('INSERT INTO %I.activity_partition (name, from_id, end_id, first_issued_at, last_issued_at) '
                           'VALUES (%L, %L, %L, %L, clock_timestamp())',
                           @schema_literal@, closed_name, from_id, end_id, begun_at)]);
                COMMIT;
@include local_search_path@
                SELECT s.last_value INTO last_drawn FROM @sequence@ AS s;
                EXIT WHEN is_done OR clock_timestamp() > deadline OR last_drawn > end_id - 100000;
                PERFORM pg_sleep(least(1 + random(), extract(epoch FROM patience) / 10));
            END LOOP;
        END IF;
        SELECT count(*) > 0 AND NOT is_done INTO has_constraint
        FROM pg_constraint AS k
        WHERE k.conname = 'audit_logger_split'
          AND k.conrelid = format('%I.%I', @schema_literal@, open_partition)::regclass;
    END IF;
    -- That of a split that was given up should not stay: ids would reach it, if nobody split for long. If it cannot be
    -- removed now, check() says so, and the next split does it.
    deadline := clock_timestamp() + patience;
    WHILE has_constraint AND clock_timestamp() < deadline LOOP
        has_constraint := NOT @schema@.audit_logger_alter_trail(ARRAY[
            format('ALTER TABLE %I.%I DROP CONSTRAINT IF EXISTS audit_logger_split', @schema_literal@, open_partition)]);
        COMMIT;
@include local_search_path@
        PERFORM pg_sleep(0.1) WHERE has_constraint;
    END LOOP;
    -- What is closed, and what a session left that was killed at it.
    FOR unfinished IN
        SELECT p.name, p.end_id
        FROM @schema@.activity_partition AS p WHERE p.row_count IS NULL ORDER BY p.end_id
    LOOP
        -- From here on, ids are those of the new partition. Somebody may draw one meanwhile, but not so many.
        SELECT s.last_value INTO last_drawn FROM @sequence@ AS s;
        IF last_drawn < unfinished.end_id - 100000 THEN
            PERFORM setval(@sequence_literal@::regclass, unfinished.end_id, false);
        END IF;
        -- Under which names something is recorded in it, readers need not look for.
        EXECUTE format(
            'SELECT count(*), min(a.issued_at), min(a.transaction_id), max(a.transaction_id), '
            'ARRAY(SELECT DISTINCT n.table_name FROM %1$I.%2$I AS n WHERE n.verb <> ''read'' ORDER BY 1) '
            'FROM %1$I.%2$I AS a', @schema_literal@, unfinished.name)
        INTO counted, begun_at, first_transaction, last_transaction, names;
        PERFORM set_config('audit_logger.maintenance', 'on', true);
        -- No activity of it is later: an id is drawn after the time is taken.
        UPDATE @schema@.activity_partition AS p
        SET row_count = counted, table_names = names, first_issued_at = begun_at,
            first_transaction_id = first_transaction, last_transaction_id = last_transaction, last_issued_at = clock_timestamp() WHERE p.name = unfinished.name;
        PERFORM set_config('audit_logger.maintenance', '', true);
        PERFORM @schema@.audit_logger_record_maintenance(jsonb_build_object(
            'operation', 'split', 'partition', unfinished.name, 'rows', counted,
            'since', begun_at, 'until', clock_timestamp()));
    END LOOP;
    IF is_done THEN
        COMMIT;
@include local_search_path@
        -- It says the same as the bounds now. If somebody has a lock, it may as well stay.
        PERFORM @schema@.audit_logger_alter_trail(ARRAY[
            format('ALTER TABLE %I.%I DROP CONSTRAINT IF EXISTS audit_logger_split', @schema_literal@, closed_name)]);
    END IF;
    PERFORM pg_advisory_unlock(lock_key);
    IF NOT is_done THEN
        RAISE EXCEPTION 'some transaction held a lock on %.activity for %: it was not split', @schema_literal@, patience
            USING ERRCODE = 'AU012', HINT = 'Nothing was changed. Split it when no long transaction is writing.';
    END IF;
END
$audit_logger$
;;
REVOKE ALL ON PROCEDURE @schema@.audit_logger_split(boolean, interval) FROM PUBLIC
