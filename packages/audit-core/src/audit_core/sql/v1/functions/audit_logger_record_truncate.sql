-- The trigger function of all audited tables for TRUNCATE. It records the number of rows that are lost, and with
-- truncate=rows each of them as a delete. Raises AU009 if row level security hides rows that it has to record.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_record_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
@include value_settings@
AS $audit_logger$
DECLARE
    recorded_at CONSTANT timestamptz := clock_timestamp();
    root CONSTANT oid := coalesce(pg_partition_root(TG_RELID), TG_RELID);
@include root_name@
    member oid;
    source text;
    lost bigint;
    key_columns text[];
    excluded text[];
    masked text[];
BEGIN
    -- TRUNCATE of a partitioned table fires the triggers of its partitions, too, and each speaks for itself. For
    -- a partition that was attached later, and has no such trigger, the nearest table above it speaks.
    FOR member, source IN
        SELECT c.oid, format('ONLY %I.%I', n.nspname, c.relname)
        FROM (SELECT TG_RELID AS relid UNION SELECT t.relid FROM pg_partition_tree(TG_RELID) AS t) AS m
        JOIN pg_class AS c ON c.oid = m.relid AND c.relkind <> 'p'
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.oid = TG_RELID OR TG_RELID = (
            SELECT a.relid
            FROM pg_partition_ancestors(c.oid) WITH ORDINALITY AS a (relid, distance)
            WHERE @schema@.audit_logger_has_trigger(
                a.relid, 'audit_logger_record_truncate'::text, TG_OP)
            ORDER BY a.distance
            LIMIT 1)
        ORDER BY c.oid
    LOOP
        -- What row level security hides from the trail's owner is truncated all the same.
        IF NOT row_security_active(member) THEN
            EXECUTE 'SELECT count(*) FROM ' || source INTO lost;
        ELSIF 'truncate=rows' = ANY (TG_ARGV) THEN
            RAISE EXCEPTION 'the rows that TRUNCATE takes from %.% cannot be recorded: row level security hides some '
                'from %', root_name[1], root_name[2], current_user
                USING ERRCODE = 'AU009', HINT = 'Let the owner of the trail bypass it: ALTER ROLE ... BYPASSRLS.';
        ELSE
            lost := NULL;
        END IF;
        IF @schema@.audit_logger_apply_policy(member, root_name[1], root_name[2], TG_OP, lost, TG_ARGV) THEN
            CONTINUE;
        END IF;
        IF 'truncate=rows' = ANY (TG_ARGV) THEN
            PERFORM @schema@.audit_logger_refuse_casts(member);
            SELECT o.key_columns, o.excluded, o.masked
            INTO key_columns, excluded, masked
            FROM @schema@.audit_logger_read_options(member, TG_ARGV) AS o;
            EXECUTE format(
                'INSERT INTO %1$I.activity ('
                '    transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,'
                '    row_key, old_data, changed_data, masked) '
                'SELECT (SELECT %1$I.audit_logger_ensure_transaction()), $1, $2, $3, $4, $5, ''delete'','
                '    %1$I.audit_logger_row_key(old_row, $6), %1$I.audit_logger_mask(old_row, $8), ''{}'','
                '    nullif($8, ''{}'') '
                'FROM ('
                '    SELECT CASE WHEN $9 THEN %1$I.audit_logger_to_jsonb(entry) ELSE to_jsonb(entry) END'
                '           - $7 AS old_row'
                '    FROM (SELECT (o.*)::record AS entry FROM %2$s AS o) AS entries'
                '    OFFSET 0'
                ') AS converted', @schema_literal@, source)
            USING recorded_at, pg_current_xact_id()::text::bigint, member, root_name[1], root_name[2],
                key_columns, excluded, masked,
                @schema@.audit_logger_may_exceed_jsonb(member);
        END IF;
        INSERT INTO @schema@.activity (
            transaction_id, issued_at, native_transaction_id, relid, schema, table_name, verb,
            row_key, old_data, changed_data)
        VALUES (@schema@.audit_logger_ensure_transaction(), recorded_at,
            pg_current_xact_id()::text::bigint, member, root_name[1], root_name[2], 'truncate',
            NULL, '{}', jsonb_build_object('rows', lost));
    END LOOP;
    RETURN NULL;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_record_truncate() FROM PUBLIC
