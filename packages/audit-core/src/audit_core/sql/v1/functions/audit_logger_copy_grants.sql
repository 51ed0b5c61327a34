-- Gives a new partition of the trail the owner and the grants of another table of the trail. Called where one takes the
-- place of another: whoever could read the trail before can read it afterwards.
CREATE OR REPLACE FUNCTION @schema@.audit_logger_copy_grants(source regclass, target regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $audit_logger$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER TABLE %s OWNER TO %I', target, pg_get_userbyid(c.relowner))
        FROM pg_class AS c WHERE c.oid = source
        UNION ALL
        SELECT format('REVOKE ALL ON %s FROM PUBLIC', target)
        UNION ALL
        SELECT format(
            'GRANT %s ON %s TO %s%s', a.privilege_type, target,
            CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
            CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
        WHERE c.oid = source AND a.grantee <> c.relowner
    LOOP
        EXECUTE statement;
    END LOOP;
END
$audit_logger$
;;
REVOKE ALL ON FUNCTION @schema@.audit_logger_copy_grants(regclass, regclass) FROM PUBLIC
