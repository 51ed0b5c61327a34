-- Finds or inserts the row of the table "transaction" for this database transaction and this context (actor, address
-- and meta data). Called by whatever writes an activity. Returns its id. Raises AU001 if the actor cannot be stored,
-- and AU002 if the meta data are not a JSON object.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_ensure_transaction() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    xid CONSTANT bigint := pg_current_xact_id()::text::bigint;
    started CONSTANT timestamptz := transaction_timestamp();
    raw_actor CONSTANT text := nullif(current_setting('audit_logger.actor_id', true), '');
    raw_addr CONSTANT text := nullif(current_setting('audit_logger.client_addr', true), '');
    raw_meta CONSTANT text := nullif(current_setting('audit_logger.meta', true), '');
    row_of_transaction tid;
    actor @schema@.transaction.actor_id%TYPE;
    addr inet;
    context jsonb;
    found_id bigint;
    found_at tid;
    was_set text;
BEGIN
@include find_row_of_transaction@
    IF row_of_transaction IS NOT NULL THEN
        SELECT t.id INTO found_id
        FROM @schema@.transaction AS t
        WHERE t.ctid = row_of_transaction AND t.native_transaction_id = xid AND t.issued_at = started;
        IF FOUND THEN
            RETURN found_id;
        END IF;
    END IF;
    -- It is indexed, and an index has a limit.
    IF octet_length(raw_actor) > 1000 THEN
        RAISE EXCEPTION 'audit_logger.actor_id has % bytes, and 1000 are the limit', octet_length(raw_actor)
            USING ERRCODE = 'AU001', HINT = 'Set it to a primary key of the actors'' table.';
    END IF;
    BEGIN
        actor := raw_actor;
        context := raw_meta::jsonb;
        addr := raw_addr::inet;
    EXCEPTION WHEN data_exception THEN
        -- Which of the three was it?
        BEGIN
            actor := raw_actor;
        EXCEPTION WHEN data_exception THEN
            RAISE EXCEPTION 'audit_logger.actor_id: %', SQLERRM
                USING ERRCODE = 'AU001',
                    HINT = format('Set it to a primary key of the actors'' table, of type %s.', pg_typeof(actor));
        END;
        BEGIN
            context := raw_meta::jsonb;
        EXCEPTION WHEN data_exception THEN
            RAISE EXCEPTION 'audit_logger.meta: %', SQLERRM
                USING ERRCODE = 'AU002', HINT = 'Set it to a JSON object that jsonb can hold.';
        END;
        -- An address that is none must not stop the write.
        addr := @schema@.audit_logger_to_inet(raw_addr);
        IF addr IS NULL AND raw_addr IS NOT NULL THEN
            context := coalesce(context, '{}') || jsonb_build_object('client_addr', raw_addr);
        END IF;
    END;
    IF jsonb_typeof(context) <> 'object' THEN
        RAISE EXCEPTION 'audit_logger.meta is a JSON %', jsonb_typeof(context)
            USING ERRCODE = 'AU002', HINT = 'Set it to a JSON object.';
    END IF;
    -- A context that changes inside a database transaction gets a row of its own, so that no
    -- change is credited to another actor; one that comes back finds its row again.
    IF current_setting('audit_logger.transaction_row', true) <> '' THEN
        SELECT t.id, t.ctid INTO found_id, found_at
        FROM @schema@.transaction AS t
        WHERE t.native_transaction_id = xid
          AND t.issued_at = started
          AND t.actor_id IS NOT DISTINCT FROM actor
          AND t.client_addr IS NOT DISTINCT FROM addr
          AND t.meta IS NOT DISTINCT FROM context;
    END IF;
    IF found_id IS NULL THEN
        INSERT INTO @schema@.transaction (native_transaction_id, issued_at, actor_id, client_addr, meta)
        VALUES (xid, started, actor, addr, context)
        RETURNING id, ctid INTO found_id, found_at;
    END IF;
    -- In one expression: PL/pgSQL prepares each of them anew in every transaction.
    was_set := set_config('audit_logger.transaction_row', found_at::text, true)
        || set_config('audit_logger.transaction_context', ROW(raw_actor, raw_addr, raw_meta)::text, true);
    RETURN found_id;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_ensure_transaction() FROM PUBLIC
