"""Where the rows of today do not tell how they were: what the trail and the catalog know to be in the way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    CHAR,
    CTE,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Uuid,
    and_,
    case,
    cast,
    collate,
    exists,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, OID, REGCLASS
from sqlalchemy.types import NullType

from ..errors import HistoryError
from ..quoting import qualified
from .audited_table import AuditedTable, array_of
from .coverage import OF_ROWS, coverage_table, limit
from .exact import ExactText, exact_text, operate, pg, undecorated
from .relations import pg_attribute, pg_proc, pg_trigger, pg_type
from .types import StoredType

# PostgreSQL's numbers of the types of which a key is the text of its value, and of those that are written as in JSON.
# Of all of them the text is the same whatever the settings of a session are.
AS_TEXT = (20, 21, 23, 25, 1043, 2950)
_AS_JSON = (16, 1042, 1082, 1114, 1700)
_BYTEA, _TIMESTAMPTZ, _UUID = 17, 1184, 2950
# The bits of FLOAT() from which on it is double precision.
DOUBLE = 25
# What pg_trigger says of triggers after INSERT, DELETE and UPDATE.
_ROW_CHANGES = 4 | 8 | 16
_JSON = (114, 3802)
# Floats become other ones in numbers of another precision, and blanks at the end of a CHAR are none in other texts.
_AS_THEMSELVES = (700, 701, 1042)


def types_of_key(each: Column[Any]) -> tuple[int, ...]:
    """Return which types a column of the key may have in the database, so that its text is known.

    :raises HistoryError: if it is another one in the model.
    """
    type_ = undecorated(each.type)
    if isinstance(type_, DateTime) and type_.timezone:
        return (_TIMESTAMPTZ,)
    if isinstance(type_, LargeBinary):
        return (_BYTEA,)
    if isinstance(type_, Integer) or (isinstance(type_, String) and not isinstance(type_, (CHAR, Enum))):
        return AS_TEXT
    if isinstance(type_, Uuid):
        return AS_TEXT if type_.native_uuid else _AS_JSON
    if isinstance(type_, (Boolean, CHAR, Date, DateTime, Numeric)) and not isinstance(type_, Float):
        return _AS_JSON
    raise HistoryError(
        f"{each.name!r} is in the primary key of table {each.table.fullname!r}, and how a {type_!r} is written depends "
        "on more than its value, so rows of today are not found in the trail. Ask without live=True."
    )


def _is_said(event: CTE, virtual: CTE, option: str, columns: Iterable[str]) -> ColumnElement[bool]:
    """Return whether triggers name these columns and no others, but for virtual ones, which are never recorded."""
    wanted = literal([f"{option}={name}" for name in columns], ARRAY(ExactText()))
    ignored = select(exact_text(f"{option}=") + virtual.c.attname)

    def named(arguments: ColumnElement[Any]) -> ColumnElement[Any]:
        argument = pg.unnest(arguments, type_=ExactText()).column_valued()
        found = select(argument).where(pg.starts_with(argument, exact_text(f"{option}=")), argument.not_in(ignored))
        return array_of(found.order_by(collate(argument, "C")).correlate(event))

    return operate(named(event.c.arguments), "=", named(wanted))


def _read_otherwise(audited: AuditedTable, relid: ColumnElement[int]) -> ColumnElement[str]:
    """Return a column whose values are not read as recorded ones, being of another type than in the model; or NULL."""
    columns = [each for each in audited.table.columns if not isinstance(each.type, NullType)]
    types = [cast(pg.pg_typeof(cast(null(), StoredType(each.type, keep_scale=True))), OID) for each in columns]
    names = (operate(pg_attribute.c.attname, "=", exact_text(str(each.name))) for each in columns)
    wanted, found = pg_type.alias(), pg_type.alias()
    stored = func.coalesce(func.nullif(found.c.typbasetype, literal(0, OID())), found.c.oid)
    is_other_kind = _kind(stored, found.c.typcategory) != _kind(wanted.c.oid, wanted.c.typcategory)
    return (
        select(func.min(pg_attribute.c.attname))
        .join_from(pg_attribute, found, found.c.oid == pg_attribute.c.atttypid)
        .join(wanted, wanted.c.oid == case(*zip(names, types, strict=True)))
        .where(
            pg_attribute.c.attrelid == relid,
            stored != wanted.c.oid,
            or_(stored.in_(_AS_THEMSELVES), is_other_kind),
        )
        .scalar_subquery()
    )


def _kind(type_: ColumnElement[int], category: ColumnElement[str]) -> ColumnElement[str]:
    """Return what types have in common that write a value alike."""
    is_text = or_(type_ == literal(_UUID, OID()), cast(category, ExactText).in_(("E", "S")))
    of_several = cast(category, ExactText).in_(("A", "N"))
    return case(
        (is_text, exact_text("text")),
        (type_.in_(_JSON), exact_text("json")),
        (of_several, cast(category, ExactText)),
        else_=cast(type_, ExactText),
    )


def _is_recorded_now(relid: ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether the table has triggers that record: it may be another one, made anew under the name."""
    is_ours = pg.starts_with(cast(pg_proc.c.proname, ExactText), exact_text("audit_logger_record"))
    verbs = (
        select(pg.bit_or(cast(pg_trigger.c.tgtype, Integer), type_=Integer()))
        .join_from(pg_trigger, pg_proc, pg_proc.c.oid == pg_trigger.c.tgfoid)
        .where(pg_trigger.c.tgrelid == relid, cast(pg_trigger.c.tgenabled, ExactText).in_(("A", "O")), is_ours)
        .scalar_subquery()
    )
    changes = literal(_ROW_CHANGES, Integer())
    return operate(func.coalesce(operate(verbs, "&", changes, Integer()), literal(0, Integer())), "=", changes)


def is_told(audited: AuditedTable, until: ColumnElement[dt.datetime], since: ColumnElement[int]) -> ColumnElement[bool]:
    """Refuse to answer where something that changed since may not be recorded, or cannot be taken back.

    The error of a query is that of a cast that fails.
    """
    name = audited.table.fullname
    events, later = coverage_table(audited.scope), coverage_table(audited.scope)
    # How it was recorded at the instant.
    then = (
        select(events.c.event, events.c.operations, events.c.arguments)
        .where(audited.is_of(events.c), events.c.issued_at <= until)
        .order_by(events.c.issued_at.desc())
        .limit(1)
        .cte()
    )
    turned_at = (
        select(func.min(func.least(later.c.since, later.c.issued_at)))
        .where(audited.is_of(later.c), later.c.issued_at > until)
        .scalar_subquery()
    )
    activity = audited.activities
    whole = (
        select(activity.c.verb, activity.c.issued_at)
        .where(
            activity.c.row_key.is_(None),
            activity.c.verb.in_(("truncate", "bypass", "maintenance")),
            activity.c.issued_at > until,
            activity.c.id >= since,
        )
        .order_by(activity.c.id)
        .limit(1)
        .cte()
    )
    relid = cast(pg.to_regclass(exact_text(qualified(audited.table.name, audited.table.schema)), type_=REGCLASS), OID)
    is_virtual = cast(pg_attribute.c.attgenerated, ExactText) == exact_text("v")
    virtual = select(pg_attribute.c.attname).where(pg_attribute.c.attrelid == relid, is_virtual).cte()
    is_as_declared = and_(
        operate(then.c.operations, "@>", literal(list(OF_ROWS), ARRAY(ExactText()))),
        *(_is_said(then, virtual, name, getattr(audited.options, name)) for name in ("exclude", "include", "mask")),
        _is_said(then, virtual, "key", [str(each.name) for each in audited.key_columns]),
    )
    is_other_type = or_(
        *(
            and_(
                operate(pg_attribute.c.attname, "=", exact_text(str(each.name))),
                pg_attribute.c.atttypid.not_in(types_of_key(each)),
            )
            for each in audited.key_columns
        )
    )
    is_other_key = exists(select(literal(1)).where(pg_attribute.c.attrelid == relid, is_other_type))
    other = _read_otherwise(audited, relid)

    def refused(why: str, *values: ColumnElement[Any]) -> ColumnElement[bool]:
        said = f"the rows of {name} today do not tell how they were at %s: {why}; ask without live=True"
        return cast(pg.format(exact_text(said), until, *values), Boolean)

    first = select(whole.c.verb).scalar_subquery(), select(whole.c.issued_at).scalar_subquery()
    return case(
        (pg.row_security_active(relid), refused("row level security hides some of them")),
        (limit(audited, "removed_until") > until, refused("retention removed what was recorded since")),
        (turned_at.is_not(None), refused("recording began, changed or ended at %s", turned_at)),
        (not_(exists(select(then.c.event))), refused("when recording began is not known")),
        (exists(select(literal(1)).where(then.c.event == exact_text("end"))), refused("recording had ended")),
        (not_(exists(select(literal(1)).where(is_as_declared))), refused("they are recorded otherwise than declared")),
        (exists(select(whole.c.verb)), refused("a %s at %s cannot be taken back", *first)),
        (not_(_is_recorded_now(relid)), refused("its changes are not recorded now")),
        (is_other_key, refused("its primary key has another type than in the model")),
        (other.is_not(None), refused("column %s has another type than in the model", other)),
        else_=true(),
    )
