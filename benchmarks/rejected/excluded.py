"""What an UPDATE of an excluded column has to cost.

It changes nothing that is recorded, and that must be found out: under settings under which a value is always written in
the same way, without a cast that others have made, and with 0 told from -0, which JSON does not. `without the types`
leaves out the look at the types of the columns, and with it changes such as the last. `least` reads the two rows,
compares them as JSON under fixed settings, and ends: it knows no options and records nothing. `least that is exact`
asks for casts, for disable() and for the types as well, and still has its options written into it.
"""

from __future__ import annotations

import re
import statistics
import time
from importlib import resources

import psycopg

from benchmarks.rejected.triggers import FUNCTION, TRIGGER, install
from dev.postgres import throwaway_server

ROUNDS = 15
STATEMENTS = 1000
UPDATE = "UPDATE articles SET country = country || 'x' WHERE id = %s"

LOOK_AT_TYPES = re.compile(r"IF EXISTS \(\s+-- Values that are the same JSON.*?END IF;", re.DOTALL)
BODY = re.compile(r"DECLARE.*\$function\$", re.DOTALL)
LEAST = """DECLARE
    first record;
BEGIN
    SELECT (o.*)::record AS before, (n.*)::record AS after, EXISTS (SELECT FROM new_table OFFSET 1) AS has_next{casts}
    INTO first FROM old_table AS o CROSS JOIN new_table AS n LIMIT 1;
    {refuse}
    IF to_jsonb(first.before) - '{{country}}'::text[] = to_jsonb(first.after) - '{{country}}'::text[] THEN
        {types}
        RETURN NULL;
    END IF;
    RETURN NULL;
END $function$"""


def exact() -> str:
    """Return the least that misses nothing, with the queries that are in use."""
    refuse = "RAISE 'not reached'; END IF;"
    return LEAST.format(
        casts=", " + fragment("has_cast_to_json"),
        refuse=f"IF first.has_cast_to_json THEN {refuse} {fragment('if_policy_applies')} {refuse}",
        types=f"IF EXISTS ({fragment('columns_to_compare_in_binary')}) THEN {refuse}",
    )


def fragment(name: str) -> str:
    """Return a part of the trigger function, for the table that is written here."""
    text = (resources.files("audit_core.sql") / "v1" / "fragments" / f"{name}.sql").read_text()
    return "\n" + text.replace("@relation@", "TG_RELID").replace("(excluded)", "('{country}'::text[])")


def main() -> None:
    """Print what each variant adds to a statement, in microseconds, and as a share of what is in use."""
    with throwaway_server() as server, psycopg.connect(server.url, autocommit=True) as owner:
        install(server.url)
        owner.execute("ALTER TABLE articles ALTER amount TYPE numeric(12, 2)")  # else its scale has to be compared
        found = owner.execute(FUNCTION).fetchone()
        assert found is not None
        source = found[0]
        variants = {
            "no trigger": None,
            "in use": source,
            "without the types": LOOK_AT_TYPES.sub("", source),
            "least": BODY.sub(lambda _: LEAST.format(casts="", refuse="", types=""), source),
            "least that is exact": BODY.sub(lambda _: exact(), source),
        }
        assert len(set(variants.values())) == len(variants)
        times: dict[str, list[float]] = {name: [] for name in variants}
        for _ in range(ROUNDS):
            for name, variant in variants.items():
                if variant:
                    owner.execute(variant)
                    owner.execute(TRIGGER.format(arguments="'key=id', 'exclude=country'"))
                else:
                    owner.execute("DROP TRIGGER audit_logger_update ON articles")
                times[name].append(update(server.url))
    alone, in_use, *_ = medians = [statistics.median(each) for each in times.values()]
    print(f"{'':20}    added us    of what is in use")
    for name, median in zip(times, medians, strict=True):
        print(f"{name:20}{median - alone:12.1f}{(median - alone) / (in_use - alone):12.2f}")


def update(url: str) -> float:
    """Return the microseconds of a statement, of many in one transaction of a session of its own."""
    with psycopg.connect(url) as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT set_config('audit_logger.actor_id', '7', true)")
        start = time.perf_counter()
        for number in range(STATEMENTS):
            connection.execute(UPDATE, (number + 1,))
        return (time.perf_counter() - start) / STATEMENTS * 1e6


if __name__ == "__main__":
    main()
