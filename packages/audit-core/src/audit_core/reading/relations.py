"""PostgreSQL's catalog as tables, for queries that are returned and composed.

A query of the catalog that runs by itself is a text; see ``installation/catalog.py``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, ColumnElement, SmallInteger, cast, column, table
from sqlalchemy.dialects.postgresql import OID, REGCLASS

from .exact import ExactText, pg

pg_class = table(
    "pg_class",
    column("oid", OID),
    column("relname", ExactText),
    column("relnamespace", OID),
    column("relispartition", Boolean),
    schema="pg_catalog",
)
pg_namespace = table("pg_namespace", column("oid", OID), column("nspname", ExactText), schema="pg_catalog")

pg_partitioned_table = table("pg_partitioned_table", column("partrelid", OID), schema="pg_catalog")

pg_attribute = table(
    "pg_attribute",
    column("attrelid", OID),
    column("attname", ExactText),
    column("atttypid", OID),
    column("attnum", SmallInteger),
    column("attisdropped", Boolean),
    column("attgenerated", ExactText),
    schema="pg_catalog",
)

pg_type = table(
    "pg_type",
    column("oid", OID),
    column("typbasetype", OID),
    column("typcategory", ExactText),
    schema="pg_catalog",
)

pg_trigger = table(
    "pg_trigger",
    column("tgrelid", OID),
    column("tgfoid", OID),
    column("tgtype", SmallInteger),
    column("tgenabled", ExactText),
    schema="pg_catalog",
)

pg_proc = table("pg_proc", column("oid", OID), column("proname", ExactText), schema="pg_catalog")

#: Relations with their schemas.
relations = pg_class.join(pg_namespace, pg_namespace.c.oid == pg_class.c.relnamespace)


def partitions_of(relid: ColumnElement[int]) -> ColumnElement[Any]:
    """Call the function that returns a partitioned table and all below it; of another table, nothing."""
    tree = pg.pg_partition_tree(cast(relid, REGCLASS)).table_valued(column("relid", REGCLASS), joins_implicitly=True)
    return tree.c.relid
