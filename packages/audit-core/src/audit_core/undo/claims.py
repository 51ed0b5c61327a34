"""Which transactions were taken back, as others claim in ``meta["undoes"]`` and as their activities bear out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    func,
    inspect,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB

from ..reading.exact import exact_text, operate, pg
from .ignoring import Ignored

if TYPE_CHECKING:
    from ..scope import Scope

#: The key of ``transaction.meta`` that names what was undone.
UNDOES = "undoes"

#: The verbs of activities that can be taken back.
TAKEN_BACK = ("insert", "update", "delete")


def undone_by(scope: Scope, connection: Connection, transaction_id: int, ignored: Ignored | None = None) -> int | None:
    """Return the transaction that undid another one and was not undone itself.

    Anybody may write a claim. It counts if it is later than what it claims to have undone, and has an activity
    against each of its activities.

    :param ignored: columns that an undo leaves as they are; an update of them alone needs none, and is none.
    """
    if not connection.scalar(select(_is_claimed(scope, transaction_id))):
        return None
    # Also tables of which nothing is ignored: a name without a schema means any table that is not among them.
    names = {table.key: sorted(columns) for table, columns in (ignored or {}).items()}
    claims = _claims(scope, cast(literal(transaction_id), BigInteger()), names).cte("claims", recursive=True)
    claims = claims.union(_claims(scope, claims.c.by, names))
    by: dict[int, list[int]] = {}
    for undoes, claimant in connection.execute(select(claims.c.undoes, claims.c.by)):
        by.setdefault(undoes, []).append(claimant)
    # A claimant is later than what it undid: from the last one on, each is known when it is asked for.
    standing: dict[int, int | None] = {}
    for undoes in sorted(by, reverse=True):
        standing[undoes] = max((each for each in by[undoes] if standing.get(each) is None), default=None)
    return standing.get(transaction_id)


def _is_claimed(scope: Scope, transaction_id: int) -> ColumnElement[bool]:
    """Return whether anything claims to have undone a transaction: of most nothing does, and that is known at once."""
    transaction: FromClause = inspect(scope.transaction_cls).local_table.alias()
    return exists(_one().where(_says_so(transaction, cast(literal(transaction_id), BigInteger()))))


def _says_so(transaction: FromClause, undoes: ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether a later transaction claims to have undone another one."""
    meta = type_coerce(transaction.c.meta, JSONB())
    # Both as in the index, which a bound name would not match.
    key: ColumnElement[str] = literal_column(f"CAST('{UNDOES}' AS text)", Text())
    return and_(
        operate(meta, "?", key),
        operate(operate(meta, "->", key, JSONB()), "=", pg.to_jsonb(undoes, type_=JSONB())),
        transaction.c.id > undoes,
    )


def _claims(scope: Scope, undoes: ColumnElement[int], ignored: dict[str, list[str]]) -> Select[Any]:
    """Select the claims to have undone a transaction that count."""
    transaction: FromClause = inspect(scope.transaction_cls).local_table.alias()
    activity: FromClause = inspect(scope.activity_cls).local_table
    done, against = activity.alias(), activity.alias()
    is_done = and_(done.c.transaction_id == undoes, done.c.verb.in_(TAKEN_BACK))
    opposite = case(
        (done.c.verb == exact_text("insert"), exact_text("delete")),
        (done.c.verb == exact_text("delete"), exact_text("insert")),
        else_=exact_text("update"),
    )
    is_against = and_(
        against.c.transaction_id == transaction.c.id,
        against.c.verb == opposite,
        against.c.row_key == func.coalesce(done.c.old_row_key, done.c.row_key),
        func.coalesce(against.c.old_row_key, against.c.row_key) == done.c.row_key,
        against.c.table_name == done.c.table_name,
        against.c.schema == done.c.schema,
    )
    if any(ignored.values()):
        is_done, is_against = and_(is_done, _does_more(done, ignored)), and_(is_against, _does_more(against, ignored))
    is_left = ~exists(_one().where(is_against).correlate_except(against))
    return select(undoes.label("undoes"), transaction.c.id.label("by")).where(
        _says_so(transaction, undoes),
        exists(_one().where(is_done).correlate_except(done)),
        ~exists(_one().where(is_done, is_left).correlate_except(done)),
    )


def _does_more(done: FromClause, ignored: dict[str, list[str]]) -> ColumnElement[bool]:
    """Return whether an activity does more than to set ignored columns."""
    names = literal(ignored, JSONB())
    qualified = operate(operate(done.c.schema, "||", exact_text("."), Text()), "||", done.c.table_name, Text())
    columns = func.coalesce(*(operate(names, "->", name, JSONB()) for name in (qualified, done.c.table_name)))
    each = pg.jsonb_array_elements_text(columns, type_=Text()).column_valued("name")
    changed = type_coerce(done.c.changed_data, JSONB())
    left = operate(changed, "-", func.array(select(each).scalar_subquery()), JSONB())
    return or_(done.c.verb != exact_text("update"), operate(left, "<>", literal({}, JSONB())))


def _one() -> Select[Any]:
    return select(literal_column("1"))
