"""``activity`` and ``transaction`` as ORM models.

The classes here carry the columns. Each :class:`~audit_core.AuditLog` maps them in a registry and a MetaData
of its own: columns and defaults of the application's base class do not reach them, and neither
``create_all()`` nor Alembic takes them for tables that it has to create.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    MetaData,
    SmallInteger,
    Table,
    Text,
    inspect,
    type_coerce,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB, OID
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, column_property, foreign, mapped_column, registry, relationship
from sqlalchemy.types import TypeDecorator, TypeEngine

from .actor import ActorClass
from .connections import told_to_await
from .reading.exact import ExactText, require_trail
from .reading.merging import merged, whole_before
from .reading.values import as_object, load_recorded


class TrailTable(Table):
    """A table of the trail, which no other database than PostgreSQL has."""


@compiles(TrailTable)
def _compile_trail_table(table: TrailTable, compiler: Any, **options: Any) -> str:
    require_trail(compiler.dialect)
    compiled: str = compiler.visit_table(table, **options)
    return compiled


class RecordedData(TypeDecorator[dict[str, Any]]):
    """A recorded row, read from its text: a number keeps all its digits on its way through JSON.

    Python's own way through it fails at a number of 5000 digits, which anybody can have written into ``meta``.
    """

    impl = JSONB
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        return self.impl_instance.coerce_compared_value(op, value)

    def column_expression(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        return type_coerce(sql_cast(column, Text), self)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return load_recorded(value) if isinstance(value, str) else value


class Awaitable:
    """What is loaded when it is needed, for an ``AsyncSession``, as SQLAlchemy's ``AsyncAttrs`` has it."""

    @property
    def awaitable_attrs(self) -> Any:
        """Each attribute as something to await: ``await transaction.awaitable_attrs.actor``."""
        # Importing it costs those who need none.
        from sqlalchemy.ext.asyncio import AsyncAttrs

        found: Any = AsyncAttrs.awaitable_attrs
        return found.fget(self)


class AuditLogTransaction(Awaitable):
    """Who made the changes of one database transaction, from where and why."""

    __tablename__ = "transaction"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    native_transaction_id: Mapped[int] = mapped_column(BigInteger)
    #: When the database transaction began.
    issued_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    client_addr: Mapped[Any] = mapped_column(INET, nullable=True)
    #: Whatever else the context says. Anybody who may write can set it, even to JSON that is not an object.
    meta: Mapped[dict[str, Any] | None] = mapped_column(RecordedData)
    #: The role that logged in, as the server saw it.
    db_user: Mapped[str] = mapped_column(ExactText)
    application_name: Mapped[str] = mapped_column(ExactText)
    #: What of it was erased: ``client_addr``, ``meta.NAME``; None where there is nothing.
    erased: Mapped[list[str] | None] = mapped_column(ARRAY(Text))

    # Added when the models are mapped, since they depend on the actor's class.
    if TYPE_CHECKING:
        #: The primary key of the actor, who may have been deleted since.
        actor_id: Mapped[Any]
        #: The actor as an object of ``actor_cls``; not there if that is None.
        actor: Mapped[Any]
        activities: Mapped[list[AuditLogActivity]]

    def __repr__(self) -> str:
        return f"<AuditLogTransaction {self.id} of actor {self.actor_id!r}>"


class ActivityReader(Protocol):
    """What reads activities in the terms of the application's models."""

    def changes(self, activity: AuditLogActivity) -> dict[str, tuple[Any, Any]]:
        """Return what changed."""

    def before(self, activity: AuditLogActivity) -> Any:
        """Return the row before the change."""

    def after(self, activity: AuditLogActivity) -> Any:
        """Return the row after the change."""


class AuditLogActivity(Awaitable):
    """One change of one row."""

    __tablename__ = "activity"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    transaction_id: Mapped[int] = mapped_column(BigInteger)
    #: When the trigger ran, after the row was locked.
    issued_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    native_transaction_id: Mapped[int] = mapped_column(BigInteger)
    relid: Mapped[int] = mapped_column(OID)
    schema: Mapped[str] = mapped_column(ExactText)
    table_name: Mapped[str] = mapped_column(ExactText)
    #: ``insert``, ``update``, ``delete`` or ``truncate``; also ``snapshot``, ``bypass``, ``maintenance`` and ``read``.
    verb: Mapped[str] = mapped_column(ExactText)
    #: The primary key after the change: its text, or a JSON array of the columns of a composite one.
    row_key: Mapped[str | None] = mapped_column(ExactText)
    #: The primary key before an update that changed it; None otherwise.
    old_row_key: Mapped[str | None] = mapped_column(ExactText)
    #: The row before the change; empty for an insert. Of a table whose ``store`` is ``"changes"`` only what changed of
    #: it, if ``delta_depth`` says so; ``row_before`` has all of it.
    old_data: Mapped[dict[str, Any]] = mapped_column(RecordedData)
    #: What is new: the row for an insert, the changed columns for an update, empty for a delete.
    changed_data: Mapped[dict[str, Any]] = mapped_column(RecordedData)
    #: The columns that are masked: what is recorded of them is not a value; None where there are none.
    masked: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    #: None if ``old_data`` is a whole row. Otherwise how many activities before this one under its key that stands.
    delta_depth: Mapped[int | None] = mapped_column(SmallInteger)
    #: The columns whose values were erased; they are masked since then. None where there are none.
    erased: Mapped[list[str] | None] = mapped_column(ARRAY(Text))

    if TYPE_CHECKING:
        #: ``row_before`` as the database puts it together, loaded when it is needed.
        completed_old_data: Mapped[dict[str, Any]]
        transaction: Mapped[AuditLogTransaction]
        #: Reads it in the terms of the application's models.
        reader: ClassVar[ActivityReader]

    @hybrid_property
    def data(self) -> dict[str, Any]:
        """The row as the change left it; for a delete, as it was."""
        return {**self.row_before, **as_object(self.changed_data)}

    @data.inplace.expression
    @classmethod
    def _data(cls) -> ColumnElement[dict[str, Any]]:
        merged_data: ColumnElement[dict[str, Any]] = merged(cls, inspect(cls).mapper)
        return merged_data

    @property
    def row_before(self) -> dict[str, Any]:
        """The row before the change, also where ``old_data`` has only what changed of it; empty for an insert.

        It takes a query then, unless it was loaded with the activity: ``undefer(AuditLogActivity.completed_old_data)``.

        :raises HistoryError: if it takes a query, in an asynchronous session.
        """
        if self.delta_depth is None:
            return as_object(self.old_data)
        with told_to_await(
            f"{self!r} was recorded without the columns that did not change, and an asynchronous session cannot load "
            "them now. Add to the query .options(undefer(AuditLogActivity.completed_old_data))."
        ):
            return as_object(self.completed_old_data)

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """What changed as ``{column: (old, new)}``, in the types that the model has in Python."""
        return self.reader.changes(self)

    @property
    def before(self) -> Any:
        """The row before the change, as an object of the model that belongs to no session; None if it was not there.

        :raises HistoryError: if no model is mapped to the table.
        """
        return self.reader.before(self)

    @property
    def after(self) -> Any:
        """The row after the change, as an object of the model that belongs to no session; None if it was gone.

        :raises HistoryError: if no model is mapped to the table.
        """
        return self.reader.after(self)

    def __repr__(self) -> str:
        return f"<AuditLogActivity {self.id} {self.verb} {self.table_name} {self.row_key}>"


class ActorId(TypeDecorator[Any]):
    """The type of the actor's primary key, asked for when it is first needed.

    The actor's class may be declared after the models of the trail.
    """

    impl = Text
    cache_ok = True

    def __init__(self, find_type: Callable[[], TypeEngine[Any]]) -> None:
        super().__init__()
        self.find_type = find_type

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(self.find_type())


def map_models(
    *, schema: str, info: dict[Any, Any], actor: ActorClass
) -> tuple[type[AuditLogActivity], type[AuditLogTransaction]]:
    """Map both models anew, for one trail.

    :param info: goes into the ``info`` of their MetaData.
    """
    mappings = registry(metadata=MetaData(schema=schema, info=info))
    transaction_cls = _subclass(
        AuditLogTransaction,
        actor_id=mapped_column(ActorId(actor.key_type), nullable=True),
    )
    activity_cls = _subclass(AuditLogActivity)
    transaction_cls.activities = relationship(
        lambda: activity_cls,
        primaryjoin=lambda: transaction_cls.id == foreign(activity_cls.transaction_id),
        order_by=lambda: activity_cls.id,
        viewonly=True,
    )
    activity_cls.transaction = relationship(
        lambda: transaction_cls,
        primaryjoin=lambda: foreign(activity_cls.transaction_id) == transaction_cls.id,
        viewonly=True,
        # Whoever reads activities asks who made them: one query for all of them, instead of one for each transaction,
        # which an asynchronous session could not make.
        lazy="selectin",
    )
    if actor.named is not None:
        # The class is looked up when the mappers are configured, and all models are declared.
        transaction_cls.actor = relationship(
            lambda: actor.found,
            primaryjoin=lambda: foreign(transaction_cls.actor_id) == inspect(actor.found).primary_key[0],
            viewonly=True,
        )
    mappings.mapped(transaction_cls)
    mappings.mapped(activity_cls)
    completed = type_coerce(whole_before(activity_cls, activity_cls), RecordedData())
    inspect(activity_cls).add_property("completed_old_data", column_property(completed, deferred=True))
    return activity_cls, transaction_cls


def _subclass(columns: type[Any], **attributes: Any) -> Any:
    attributes |= {"__module__": columns.__module__, "__table_cls__": TrailTable}
    return type(columns.__name__, (columns,), attributes)
