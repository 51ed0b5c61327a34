-- Raises AU008 if a type in the table has a cast to json by a function of somebody who is neither the owner of the
-- trail nor a superuser. to_jsonb() would call that function with the rights of the trail's owner. Called before rows
-- are converted, where the database has such casts. Functions of extensions belong to a superuser and may run.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_refuse_casts(relation oid) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off
AS $audit_logger$
DECLARE
    source text;
    function_name text;
    owner text;
BEGIN
    WITH RECURSIVE part (type) AS (
        SELECT a.atttypid
        FROM pg_attribute AS a
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        UNION
        SELECT inner_type.oid
        FROM part JOIN pg_type AS t ON t.oid = part.type
        CROSS JOIN LATERAL (
            SELECT t.typbasetype AS oid WHERE t.typtype = 'd'
            UNION ALL SELECT t.typelem WHERE t.typelem <> 0
            UNION ALL SELECT a.atttypid
            FROM pg_attribute AS a
            WHERE a.attrelid = t.typrelid AND t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped
        ) AS inner_type
    )
    SELECT format_type(c.castsource, NULL), c.castfunc::regprocedure::text, r.rolname
    INTO source, function_name, owner
    FROM part
    JOIN pg_type AS t ON t.oid = part.type AND t.typtype <> 'c'
    JOIN pg_cast AS c ON c.castsource = part.type AND c.casttarget = 'json'::regtype
    JOIN pg_proc AS p ON p.oid = c.castfunc
    JOIN pg_roles AS r ON r.oid = p.proowner
    WHERE NOT r.rolsuper AND r.rolname <> current_user
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'changes of % cannot be recorded: its type % has a cast to json by the function % of role %',
            relation::regclass, source, function_name, owner
            USING ERRCODE = 'AU008', HINT = 'The function would run with the rights of the trail''s owner. Drop the '
                'cast, or, if you trust the function, make that owner or a superuser its owner.';
    END IF;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_refuse_casts(oid) FROM PUBLIC
