-- Makes an activity of one row: row_key, old_row_key, old_json and new_json, and has_previous. Returns from the trigger
-- if nothing that is recorded has changed; what only an activity needs is found out after that.
    -- Most statements of an application change one row. Simple expressions, which PL/pgSQL evaluates without
    -- a query, are much faster than a query.
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            old_json := to_jsonb(@old@);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_json := to_jsonb(@new@);
        END IF;
    EXCEPTION WHEN data_exception OR program_limit_exceeded OR internal_error THEN
        -- There may be values that jsonb cannot hold.
        IF TG_OP <> 'INSERT' THEN
            old_json := @schema@.audit_logger_to_jsonb(@old@::record);
        END IF;
        IF TG_OP <> 'DELETE' THEN
            new_json := @schema@.audit_logger_to_jsonb(@new@::record);
        END IF;
    END;
    IF TG_NARGS > 0 THEN
@include parse_options arguments=TG_ARGV@
    END IF;
    key_json := CASE TG_OP WHEN 'DELETE' THEN old_json ELSE new_json END;
    IF key_columns = '{}' OR NOT key_json ?& key_columns THEN
        key_columns := @schema@.audit_logger_key_columns(TG_RELID);
    END IF;
    IF included IS NOT NULL THEN
        excluded := ARRAY(
            SELECT name FROM jsonb_object_keys(key_json) AS k (name)
            WHERE name <> ALL (included) AND name <> ALL (key_columns));
    END IF;
    IF excluded <> '{}' THEN
        old_json := old_json - excluded;
        new_json := new_json - excluded;
    END IF;
    IF TG_OP = 'UPDATE' AND old_json = new_json THEN
        -- Whether something changed is told by the values: JSON has one zero, and numbers without a scale.
        IF @old@ *= @new@ THEN
            RETURN NULL;
        END IF;
        IF EXISTS (
@include columns_to_compare_in_binary relation=TG_RELID@
        ) THEN
            binary_comparison := @schema@.audit_logger_build_binary_comparison(TG_RELID, excluded, TG_LEVEL);
        END IF;
        IF binary_comparison IS NULL THEN
            RETURN NULL;
        END IF;
        EXECUTE binary_comparison INTO binary_changes USING @old@, @new@;
        IF binary_changes = '{}' THEN
            RETURN NULL;
        END IF;
    END IF;
    row_key :=
@include row_key data=key_json@
    ;
    IF TG_OP = 'UPDATE' THEN
        new_json := new_json - ARRAY(
            SELECT e.key FROM jsonb_each(old_json) AS e
            WHERE e.value = new_json -> e.key AND e.key = ANY (binary_changes) IS NOT TRUE);
        old_row_key := CASE WHEN new_json ?| key_columns THEN nullif(
@include row_key data=old_json@
            , row_key) END;
    END IF;
    IF masked <> '{}' THEN
        old_json := @schema@.audit_logger_mask(old_json, masked);
        new_json := @schema@.audit_logger_mask(new_json, masked);
    END IF;
@include find_marked_command@
