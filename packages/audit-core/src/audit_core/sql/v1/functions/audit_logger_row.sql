CREATE OR REPLACE FUNCTION @schema@.audit_logger_row(source anyelement) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    result jsonb := '{}';
    field record;
    content text;
BEGIN
    RETURN to_jsonb(source);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    -- json may hold what jsonb cannot: an escaped NUL, half a surrogate pair, a number out of range. The
    -- user's write must succeed: the fields that fit are kept, the others are marked and keep their text.
    -- json_each() stumbles over the same escapes, so they are made harmless for its sake.
    FOR field IN
        SELECT key, value::text
        FROM json_each(regexp_replace(
            row_to_json(source)::text,
            '(?<!\\)((?:\\\\)*)\\u(0000|[dD][89a-fA-F])', '\1\\u0001\\u0002u\2', 'g')::json)
    LOOP
        content := replace(field.value, '\u0001\u0002u', '\u');
        BEGIN
            result := result || jsonb_build_object(field.key, content::jsonb);
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            result := result || jsonb_build_object(
                field.key, jsonb_build_object('$unstorable', content));
        END;
    END LOOP;
    RETURN result;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_row(anyelement) FROM PUBLIC
