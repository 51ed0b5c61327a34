-- Converts a row like to_jsonb(), and never fails. Called where to_jsonb() has failed or may fail. A value that jsonb
-- cannot hold becomes an object with its text under "$unstorable".
CREATE OR REPLACE FUNCTION @schema@.audit_logger_to_jsonb(source record) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    result jsonb := '{}';
    written text;
    field record;
    content text;
BEGIN
    RETURN to_jsonb(source);
EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN
    -- json may hold what jsonb cannot: an escaped NUL, half a surrogate pair, a number out of range; and jsonb takes no
    -- text of more than 256 MB. The user's write must succeed: the fields that fit are kept, the others are marked and
    -- keep their text.
    BEGIN
        written := row_to_json(source)::text;
        IF octet_length(written) < 100000000 THEN
            -- json_each() stumbles over the same escapes, so they are made harmless for its sake.
            written := regexp_replace(
                written, '(?<!\\)((?:\\\\)*)\\u(0000|[dD][89a-fA-F])', '\1\\u0001\\u0002u\2', 'g');
        END IF;
        FOR field IN SELECT e.key, e.value::text FROM json_each(written::json) AS e LOOP
            IF octet_length(field.value) < 100000000 THEN
                content := replace(field.value, '\u0001\u0002u', '\u');
                BEGIN
                    result := result || jsonb_build_object(field.key, content::jsonb);
                    CONTINUE;
                EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
                    NULL;
                END;
            ELSE
                content := field.value;
            END IF;
            result := result || jsonb_build_object(field.key, jsonb_build_object(
                '$unstorable', CASE WHEN octet_length(content) < 1000000 THEN content ELSE left(content, 1000) END)
                || CASE WHEN octet_length(content) < 1000000 THEN '{}'
                        ELSE jsonb_build_object('$bytes', octet_length(content)) END);
        END LOOP;
        RETURN result;
    EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN
        -- More than a gigabyte, or large and broken at once.
        RETURN '{"$unstorable": null}';
    END;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_to_jsonb(record) FROM PUBLIC
