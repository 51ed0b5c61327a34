-- Moves a stream on once its consumer has done its work, in the transaction of that work where it is in this database.
-- Returns whether it did: not if somebody else has moved it since "from_id" was read. Called by consumers, who may have
-- the right to execute it and no other beside reading.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_acknowledge(stream_name text, from_id bigint, to_id bigint)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    was_moved boolean;
BEGIN
    IF to_id IS NULL OR to_id < from_id THEN
        RAISE EXCEPTION 'stream % cannot go back from % to %', stream_name, from_id, to_id
            USING ERRCODE = 'AU011', HINT = 'Remove it and let it start anew, to read again what was acknowledged.';
    END IF;
    PERFORM set_config('audit_logger.maintenance', 'on', true);
    UPDATE @schema@.activity_stream AS s
    SET last_id = to_id, acknowledged_at = clock_timestamp()
    WHERE s.name = stream_name AND s.last_id = from_id;
    was_moved := FOUND;
    PERFORM set_config('audit_logger.maintenance', '', true);
    RETURN was_moved;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_acknowledge(text, bigint, bigint) FROM PUBLIC
