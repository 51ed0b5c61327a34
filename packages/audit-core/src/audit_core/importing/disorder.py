"""What would come before changes of the same record that were earlier."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from ..errors import ConfigurationError
from ..lifecycle.owner import statement

# When the first change of one of the tables was recorded that is in the trail, or some time before.
_BEGUN = (
    "SELECT least((SELECT min(p.first_issued_at) FROM {schema}.activity_partition AS p"
    " WHERE coalesce(p.table_names && CAST(:names AS text[]), true) AND p.removed_at IS NULL),"
    " (SELECT a.issued_at - interval '1 day' FROM {schema}.activity_open AS a ORDER BY a.id LIMIT 1))"
)
_EARLIER = (
    "SELECT a.issued_at FROM {{schema}}.activity AS a WHERE a.table_name = w.table_name AND a.{key} = k.key"
    " AND a.schema = w.schema AND a.verb IN ('insert', 'update', 'delete', 'snapshot') AND a.issued_at < w.issued_at"
)
# A change of a key is one of both keys.
_OUT_OF_ORDER = (
    "SELECT w.schema, w.table_name, e.key AS row_key, w.issued_at, e.issued_at AS earlier_at, count(*) OVER () AS rows"
    " FROM {schema}.{partition} AS w CROSS JOIN LATERAL (SELECT k.key, l.issued_at"
    " FROM unnest(ARRAY[w.row_key, w.old_row_key]) AS k (key) CROSS JOIN LATERAL ("
    f"{_EARLIER.format(key='row_key')} UNION ALL {_EARLIER.format(key='old_row_key')} LIMIT 1) AS l LIMIT 1) AS e"
    " WHERE w.issued_at >= :begun ORDER BY w.id LIMIT 1"
)


def refuse_disorder(
    connection: Connection, schema: str, partition: str, names: Sequence[str], source: str, end: str
) -> None:
    """Refuse to import changes of records of which earlier ones are in the trail: they would get smaller ids.

    :param names: the tables that they are of.
    :param end: the statement that removes what the import has begun.
    :raises ConfigurationError: if there are some.
    """
    begun = connection.scalar(statement(_BEGUN, schema=schema), {"names": names})
    if begun is None:
        return
    query = statement(_OUT_OF_ORDER, schema=schema, partition=partition)
    found = connection.execute(query, {"begun": begun}).first()
    if found is not None:
        raise ConfigurationError(
            f"{found.rows} changes of {source} are later than changes of the same records that are in the trail, and "
            f"would come before them: first {found.schema}.{found.table_name} {found.row_key!r} at "
            f"{found.issued_at.isoformat()}, of which the trail has {found.earlier_at.isoformat()}. Of two trails, "
            "import the later one first; of what both recorded, leave one out. Nothing was imported; to give the "
            f"import up: {end}"
        )
