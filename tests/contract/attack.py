"""Somebody who may create functions in a schema that others search."""

from __future__ import annotations

from sqlalchemy import URL, Connection, create_engine

ATTACKER = "audit_test_attacker"

# Each function and operator that reading the trail uses, or could, for each combination of types that PostgreSQL has
# none of its own for: whichever is found fails, and says so.
_OVERLOADS = r"""
DO $attack$
DECLARE
    types CONSTANT regtype[] := '{text,varchar,bpchar,name,"\"char\"",integer,bigint,smallint,numeric,boolean,oid,
        regclass,regtype,regproc,jsonb,json,text[],varchar[],name[],bigint[],oid[],timestamptz,timestamptz[],timestamp,
        date,inet,xid8,pg_snapshot,int2vector,uuid}';
    few CONSTANT regtype[] := '{text,varchar,name,integer,bigint,oid,boolean,jsonb,json,text[],varchar[],timestamptz}';
    own regtype[];
    "name" text;
    "left" regtype;
    "right" regtype;
    third regtype;
BEGIN
    SELECT array_agg(c.oid::regclass::text::regtype) INTO own
    FROM pg_class AS c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace;
    FOREACH "left" IN ARRAY types || own LOOP
        FOR "name" IN SELECT DISTINCT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace
            AND (p.pronargs = 1 OR p.provariadic <> 0) AND p.proname = ANY (
            '{abs,aclexplode,array_agg,array_length,cardinality,count,current_setting,format,host,jsonb_array_elements,
            jsonb_array_length,jsonb_build_array,jsonb_build_object,jsonb_each,jsonb_each_text,jsonb_object_keys,
            jsonb_to_record,jsonb_typeof,json_build_array,length,lower,max,min,pg_column_size,pg_encoding_to_char,
            pg_get_function_identity_arguments,pg_partition_root,pg_partition_tree,pg_relation_size,
            pg_table_is_visible,sum,to_json,to_jsonb,to_regclass,to_regtype,unnest,upper}')
        LOOP
            CONTINUE WHEN to_regprocedure(format('pg_catalog.%I(%s)', "name", "left")) IS NOT NULL;
            EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS text LANGUAGE plpgsql AS '
                '''BEGIN RAISE EXCEPTION ''''attacked by %s(%s)''''; END''', "name", "left", "name", "left");
        END LOOP;
    END LOOP;
    FOREACH "left" IN ARRAY few || own LOOP FOREACH "right" IN ARRAY few LOOP
        FOR "name" IN SELECT unnest('{format,string_agg,timezone,jsonb_build_array,jsonb_build_object,unnest,
            starts_with,strpos,split_part,obj_description,format_type,acldefault,array_to_string,concat,jsonb_extract_path,
            jsonb_extract_path_text,jsonb_populate_record,pg_get_expr,pg_get_serial_sequence,pg_visible_in_snapshot,
            current_setting,has_function_privilege,substr,array_position,to_char,text}'::text[])
        LOOP
            CONTINUE WHEN to_regprocedure(format('pg_catalog.%I(%s,%s)', "name", "left", "right")) IS NOT NULL;
            EXECUTE format('CREATE FUNCTION public.%I(%s, %s) RETURNS text LANGUAGE plpgsql AS '
                '''BEGIN RAISE EXCEPTION ''''attacked by %s(%s,%s)''''; END''',
                "name", "left", "right", "name", "left", "right");
        END LOOP;
    END LOOP; END LOOP;
    FOREACH "left" IN ARRAY '{text,varchar,name,bigint[]}'::regtype[] LOOP
    FOREACH "right" IN ARRAY '{text,varchar,name,oid[]}'::regtype[] LOOP
    FOREACH third IN ARRAY '{text,varchar,name,boolean,text[],varchar[]}'::regtype[] LOOP
        FOR "name" IN SELECT unnest('{format,replace,set_config,split_part,has_function_privilege,unnest,
            jsonb_build_array,substr}'::text[])
        LOOP
            CONTINUE WHEN to_regprocedure(
                format('pg_catalog.%I(%s,%s,%s)', "name", "left", "right", third)) IS NOT NULL;
            EXECUTE format('CREATE FUNCTION public.%I(%s, %s, %s) RETURNS text LANGUAGE plpgsql AS '
                '''BEGIN RAISE EXCEPTION ''''attacked by %s(%s,%s,%s)''''; END''',
                "name", "left", "right", third, "name", "left", "right", third);
        END LOOP;
    END LOOP; END LOOP; END LOOP;
    FOREACH "left" IN ARRAY types LOOP FOREACH "right" IN ARRAY types LOOP
        EXECUTE format('CREATE FUNCTION public.attack(%s, %s) RETURNS boolean LANGUAGE plpgsql AS '
            '''BEGIN RAISE EXCEPTION ''''attacked by an operator of %s and %s''''; END''',
            "left", "right", "left", "right");
    END LOOP; END LOOP;
END
$attack$
"""

# The operators that these functions are for, as CREATE OPERATOR would write them: it takes seconds for so many.
_OPERATORS = """
INSERT INTO pg_operator (oid, oprname, oprnamespace, oprowner, oprkind, oprcanmerge, oprcanhash, oprleft, oprright,
    oprresult, oprcom, oprnegate, oprcode, oprrest, oprjoin)
SELECT pg_nextoid('pg_operator', 'oid', 'pg_operator_oid_index'), n.name, p.pronamespace, p.proowner, 'b', false, false,
    p.proargtypes[0], p.proargtypes[1], p.prorettype, 0, 0, p.oid, 0, 0
FROM pg_proc AS p CROSS JOIN unnest('{=,<>,<,<=,>,>=,||,->,->>,?,@>,@?,-,+,/,&,~~}'::text[]) AS n (name)
WHERE p.pronamespace = 'public'::regnamespace AND p.proname = 'attack' AND NOT EXISTS (
    SELECT FROM pg_operator AS o WHERE o.oprname = n.name AND o.oprleft = p.proargtypes[0]
    AND o.oprright = p.proargtypes[1] AND o.oprnamespace = 'pg_catalog'::regnamespace)
"""


def surround(connection: Connection) -> None:
    """Create functions and operators that are found before those of PostgreSQL where their types fit better.

    The attacker may create in ``public``, and owns the types of the application there, to which casts are added.
    """
    execute = connection.exec_driver_sql
    if not execute("SELECT FROM pg_roles WHERE rolname = %(name)s", {"name": ATTACKER}).all():
        execute(f"CREATE ROLE {ATTACKER}")
    execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {ATTACKER}")
    execute("SET LOCAL search_path = pg_catalog")  # not to fall into the own traps
    execute("SET LOCAL check_function_bodies = off")  # they are thousands, and all alike
    execute(f"SET LOCAL ROLE {ATTACKER}")
    execute(_OVERLOADS.replace("%", "%%"))
    execute("RESET ROLE")
    execute("SET LOCAL allow_system_table_mods = on")
    execute(_OPERATORS)
    execute("SET LOCAL allow_system_table_mods TO DEFAULT")
    types = "typtype IN ('e', 'd') AND typnamespace = 'public'::regnamespace"
    for (name,) in execute(f"SELECT oid::regtype::text FROM pg_type WHERE {types}").all():
        execute(f"ALTER TYPE {name} OWNER TO {ATTACKER}")
        for wanted in ("json", "jsonb", "text", "varchar"):
            function = f"public.attack_cast_{wanted}"
            execute(
                f"CREATE FUNCTION {function}({name}) RETURNS {wanted} LANGUAGE plpgsql AS "
                f"'BEGIN RAISE EXCEPTION $$attacked by a cast of {name} to {wanted}$$; END'"
            )
            if wanted != "varchar":
                execute(f"CREATE CAST ({name} AS {wanted}) WITH FUNCTION {function}({name})")
    execute("SET LOCAL check_function_bodies TO DEFAULT")
    execute("SET LOCAL search_path TO DEFAULT")


def dismiss(server: URL) -> None:
    """Drop the role, once the databases in which it owns something are gone: roles are those of all databases."""
    engine = create_engine(server)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP ROLE IF EXISTS {ATTACKER}")
    engine.dispose()
