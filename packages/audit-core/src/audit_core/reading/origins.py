"""Who gave a record the values that it has now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Integer, Select, Text, case, func, literal, select, true, union_all
from sqlalchemy.dialects.postgresql import ARRAY

from .audited_table import AuditedTable
from .bounds import FIRST_ID
from .exact import ExactText, exact_text, pg
from .history import MISSING, found_entity, history
from .merging import ROW_VERBS, changed

if TYPE_CHECKING:
    from ..scope import Scope


def origins(scope: Scope, target: Any, key: Any = MISSING) -> Select[Any]:
    """Select the activity that gave each column its value; see :meth:`audit_core.AuditLog.origins`."""
    entity, key = found_entity(scope, target, key, "origins")
    activity = scope.activity_cls
    names: dict[str, tuple[AuditedTable, str]] = {}
    for part in entity.own:
        for each in part.table.columns:
            label = entity.labels[each]
            names.setdefault(each.name if label == each.key else label, (part, each.name))
    found = []
    for part in entity.own:
        shown = {label: str(name) for label, (owner, name) in names.items() if owner is part}
        if shown:
            first = list(names).index(next(iter(shown)))
            found.append(_of_part(scope, part, entity.key_of(part, key), shown, first))
    each_of = union_all(*found).subquery()
    return (
        select(each_of.c.column, activity)
        .select_from(each_of)
        .outerjoin(activity, activity.id == each_of.c.activity_id)
        .order_by(each_of.c.place)
    )


def _of_part(scope: Scope, part: AuditedTable, key: Any, names: dict[str, str], first: int) -> Select[Any]:
    """Select the columns of one table, with the ids of the activities.

    :param names: the columns, by what to call them.
    :param first: how many columns come before.
    """
    activity = scope.activity_cls
    # Once for all columns: a record may have many activities.
    life = (
        history(scope, part.table, key)
        .with_only_columns(activity.id, activity.verb, changed(activity).label("new"))
        .order_by(None)
        .where(activity.verb.in_(ROW_VERBS))
        .cte()
        .prefix_with("MATERIALIZED")
    )
    begin = select(
        func.coalesce(func.max(life.c.id), literal(FIRST_ID, BigInteger()), type_=BigInteger()).label("id")
    ).where(life.c.verb == exact_text("insert"))
    last = select(life.c.id, life.c.verb).order_by(life.c.id.desc()).limit(1).cte()
    set_ = pg.jsonb_object_keys(life.c.new, type_=ExactText()).table_valued("name", joins_implicitly=True)
    setter = (
        select(set_.c.name.label("name"), func.max(life.c.id).label("id"))
        .select_from(life, set_)
        .where(life.c.id >= begin.scalar_subquery())
        .group_by(set_.c.name)
        .cte()
    )
    wanted = literal(list(names.values()), ARRAY(Text()))
    own = pg.unnest(wanted, type_=ExactText()).table_valued("name", with_ordinality="place", name="own")
    own = own.render_derived()
    others = [(own.c.name == exact_text(name), exact_text(label)) for label, name in names.items() if label != name]
    is_gone = last.c.verb == exact_text("delete")
    return (
        select(
            (case(*others, else_=own.c.name) if others else own.c.name).label("column"),
            (own.c.place + literal(first, Integer())).label("place"),
            case((is_gone, last.c.id), else_=setter.c.id).label("activity_id"),
        )
        .select_from(own)
        .outerjoin(setter, setter.c.name == own.c.name)
        .outerjoin(last, true())
    )
