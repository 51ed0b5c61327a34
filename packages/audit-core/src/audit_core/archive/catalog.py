"""Where the archive is: a catalog of PyIceberg, and its two tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyiceberg.catalog import Catalog, MetastoreCatalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table
from pyiceberg.utils.config import Config
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from ..errors import ConfigurationError
from ..quoting import quote
from . import model

if TYPE_CHECKING:
    from ..scope import Scope

#: What the catalog is called in .pyiceberg.yaml and in PYICEBERG_CATALOG__AUDIT_LOG__*, if none is named.
DEFAULT_NAME = "audit_log"
#: Where the catalog is otherwise, in the database of the trail.
SCHEMA = "audit_archive"


class _DatabaseCatalog(SqlCatalog):  # type: ignore[misc]
    """PyIceberg's SQL catalog over connections of the application's engine, in a schema of its own."""

    def __init__(self, name: str, engine: Engine, **properties: str) -> None:
        MetastoreCatalog.__init__(self, name, **properties)
        self.engine = _engine_in_schema(engine)
        self._init_catalog()


@dataclass(frozen=True)
class Archive:
    """The two tables."""

    activity: Table
    transaction: Table

    @property
    def location(self) -> str:
        """Where the files are."""
        return str(self.activity.location()).removesuffix("/activity")

    def refresh(self) -> None:
        """Read what others have committed since."""
        self.activity.refresh()
        self.transaction.refresh()


@contextmanager
def opened_archive(scope: Scope, engine: Engine, catalog: str | Any | None, to: str | None = None) -> Iterator[Archive]:
    """Open the archive of a trail; make it if it is said where.

    :raises ConfigurationError: if there is none, or it is elsewhere, or the catalog cannot be used.
    """
    found = _catalog(engine, catalog, is_made=to is not None)
    try:
        yield _archive(scope, found, None if to is None else _uri(to))
    finally:
        if isinstance(found, _DatabaseCatalog):
            found.close()


def _catalog(engine: Engine, given: str | Any | None, is_made: bool) -> Catalog:
    if isinstance(given, Catalog):
        return given
    if given is not None and not isinstance(given, str):
        raise ConfigurationError(f"catalog is {given!r}; give the name of a catalog in .pyiceberg.yaml, or a Catalog.")
    configured = Config().get_catalog_config(given or DEFAULT_NAME) or {}
    if given is not None and not configured:
        raise ConfigurationError(
            f"PyIceberg knows no catalog {given!r}. Describe it in .pyiceberg.yaml, in the home or the working "
            f"directory, or in PYICEBERG_CATALOG__{given.upper()}__URI and the like."
        )
    if "type" in configured or "uri" in configured or "py-catalog-impl" in configured:
        return load_catalog(given or DEFAULT_NAME)
    properties = {name: str(value) for name, value in configured.items()}
    with engine.connect() as connection:
        quoted = quote(SCHEMA)
        exists = connection.exec_driver_sql(f"SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = '{SCHEMA}'").first()
        if exists is None and not is_made:
            raise ConfigurationError(_NOTHING)
        if exists is None:
            try:
                connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
                connection.exec_driver_sql(f"COMMENT ON SCHEMA {quoted} IS 'audit trail: the catalog of its archive'")
                connection.commit()
            except DBAPIError as error:
                raise ConfigurationError(
                    f"The catalog of the archive needs a schema {SCHEMA!r}, which this role may not create. Create it "
                    "for the role, or name a catalog of your own."
                ) from error
    try:
        return _DatabaseCatalog(DEFAULT_NAME, engine, **properties)
    except DBAPIError as error:
        raise ConfigurationError(
            f"The catalog of the archive cannot be read: the role needs USAGE on schema {SCHEMA!r} and SELECT on its "
            "tables, and to archive INSERT, UPDATE and CREATE, too."
        ) from error


_NOTHING = "Nothing was archived yet. Say where to: audit-log archive --to URI, or archive(to=...)."


def _archive(scope: Scope, catalog: Catalog, to: str | None) -> Archive:
    tables = {}
    for name, described in model.TABLES.items():
        identifier = (scope.schema, name)
        try:
            table = catalog.load_table(identifier)
        except (NoSuchTableError, NoSuchNamespaceError):
            if to is None:
                raise ConfigurationError(_NOTHING) from None
            with suppress(NamespaceAlreadyExistsError):
                catalog.create_namespace(scope.schema)
            table = catalog.create_table(
                identifier,
                schema=described.schema,
                location=f"{to}/{scope.schema}/{name}",
                partition_spec=described.partition_spec,
                sort_order=described.sort_order,
                properties=described.properties,
            )
        wanted = f"{to}/{scope.schema}/{name}"
        if to is not None and table.location().rstrip("/") != wanted:
            raise ConfigurationError(
                f"The archive of this trail is at {table.location()!r}, and not at {wanted!r}. Give no place, or the "
                "one that it has."
            )
        model.require_known(table)
        tables[name] = table
    return Archive(tables["activity"], tables["transaction"])


def _uri(to: str) -> str:
    """Write where something goes as a URI; a folder is one, too."""
    if not isinstance(to, str) or not to.strip():
        raise ConfigurationError(f"to is {to!r}; give a folder, or a URI such as 's3://bucket/audit'.")
    return to.rstrip("/") if len(urlsplit(to).scheme) > 1 else Path(to).absolute().as_uri().rstrip("/")


def _engine_in_schema(engine: Engine) -> Engine:
    """Make an engine whose connections come from another one and find their tables in the schema of the catalog."""

    def connect() -> Any:
        pooled = engine.raw_connection()
        pooled.detach()
        return pooled.dbapi_connection

    own = create_engine(engine.url, creator=connect, poolclass=NullPool)

    @event.listens_for(own, "connect")
    def use_schema(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET search_path TO {quote(SCHEMA)}")
        cursor.close()
        connection.commit()

    return own
