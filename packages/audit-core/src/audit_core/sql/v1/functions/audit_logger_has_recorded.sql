CREATE OR REPLACE FUNCTION @schema@.audit_logger_has_recorded() RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    previous_id bigint;
    previous timestamptz;
BEGIN
    -- Has this session recorded anything in the present command? Settings could tell, and could be set by anybody; what
    -- this session drew last from the sequence, nobody else can say. SERIALIZABLE transactions go by a setting: reading
    -- the end of the index would be a conflict with everybody who writes there.
    IF current_setting('transaction_isolation') = 'serializable' THEN
        RETURN current_setting('audit_logger.recorded_at', true) = statement_timestamp()::text;
    END IF;
    BEGIN
        -- Not within the query: no index is used for what a volatile function returns.
        previous_id := currval(@sequence_literal@::regclass);
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        NULL; -- nothing was drawn, or somebody had the session forget it
    END;
    SELECT a.issued_at INTO previous FROM @schema@.activity AS a WHERE a.id = previous_id;
    IF previous IS NULL THEN
        RETURN EXISTS (
            SELECT FROM @schema@.transaction AS t JOIN @schema@.activity AS a ON a.transaction_id = t.id
            WHERE t.native_transaction_id = pg_current_xact_id()::text::bigint
              AND a.issued_at >= statement_timestamp());
    END IF;
    RETURN previous >= statement_timestamp();
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_has_recorded() FROM PUBLIC
