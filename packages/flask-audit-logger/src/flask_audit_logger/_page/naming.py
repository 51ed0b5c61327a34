"""What the page calls actors, records and tables, loaded in one query for each table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit_core import AuditError, AuditLog
from audit_core.siblings import (
    NAMES_OF_ACTORS,
    UNNAMEABLE,
    Scope,
    equal,
    mapper_of,
    naming_column,
    parse_key,
    pg,
    says_itself,
    scope_of,
    short_name,
    table_of,
)
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Table,
    Text,
    and_,
    cast,
    inspect,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Mapper, Session, lazyload

from .loading import LOADED_INTO_LOG, is_loaded, load_activities

#: The columns that name a record; the first that there is.
_OF_RECORD = ("title", "name", "label", "username", "email")
#: Actors that a field offers, and that a search finds.
OFFERED, FOUND = 100, 20


_Record = tuple[str, str, str]


@dataclass(frozen=True)
class Naming:
    """How the application calls things; None for the defaults."""

    actor_name: Callable[[Any], str | None] | None = None
    record_name: Callable[[Any], str | None] | None = None
    table_name: Callable[[str], str | None] | None = None


@dataclass
class Names:
    """The names of one answer, as far as they are loaded."""

    log: AuditLog
    naming: Naming
    #: Returns the session of the application, for actors who are in another database.
    elsewhere: Callable[[], Any]
    _actors: dict[str, str | None] = field(default_factory=dict)
    _records: dict[_Record, str | None] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        return scope_of(self.log)

    def load(self, session: Session, actors: Iterable[Any] = (), activities: Sequence[Any] = ()) -> None:
        """Load the names of actors, by their primary keys, and of the records of activities."""
        self._load_actors(session, {str(key): key for key in actors if key is not None})
        wanted: dict[tuple[str, str], set[str]] = {}
        for each in activities:
            if each.row_key is not None:
                wanted.setdefault((each.schema, each.table_name), set()).add(each.row_key)
        for (schema, table_name), keys in wanted.items():
            self._load_records(session, schema, table_name, sorted(keys), activities)

    def actor(self, key: Any) -> str:
        """Return what to call an actor; the primary key if there is no name."""
        return self._actors.get(str(key)) or str(key)

    def actor_with_key(self, key: Any) -> str:
        """Return the name and the primary key of an actor."""
        name = self._actors.get(str(key))
        return str(key) if not name or name == str(key) else f"{name} ({key})"

    def record(self, activity: Any) -> str | None:
        """Return what to call the record of an activity, beside its key."""
        return self.record_of(activity.schema, activity.table_name, activity.row_key)

    def record_of(self, schema: str, table_name: str, row_key: str | None) -> str | None:
        """Return what to call a record, beside its key."""
        name = self._records.get((schema, table_name, row_key or ""))
        return None if name == row_key else name

    def table(self, schema: str, name: str, count: int = 1) -> str:
        """Return what to call one row of a table, or several."""
        table = table_of(self.scope, schema, name)
        if self.naming.table_name is not None:
            given = self.naming.table_name(name if table is None else table.fullname)
            if given:
                return given
        mapper = None if table is None else mapper_of(self.scope, table)
        if mapper is None:
            return f"{'row' if count == 1 else 'rows'} of {name}"
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", mapper.class_.__name__).lower()
        return words if count == 1 else _plural(words)

    def in_order(self, activity: Any, columns: Iterable[str]) -> list[str]:
        """Put columns in the order of the model: that of jsonb is by length."""
        table = table_of(self.scope, activity.schema, activity.table_name)
        order = {} if table is None else {column.name: place for place, column in enumerate(table.columns)}
        return sorted(columns, key=lambda name: (order.get(name, len(order)), name))

    def offered_actors(self, session: Session) -> list[tuple[str, str]]:
        """Return the primary keys and the names of some actors, for a field to offer."""
        mapper = self._actor_mapper()
        column = None if mapper is None else naming_column(mapper.local_table, NAMES_OF_ACTORS)
        if mapper is None or column is None:
            return []
        query = select(mapper.primary_key[0], column)
        rows = self._source(session, mapper).execute(query.order_by(mapper.primary_key[0]).limit(OFFERED))
        return [(str(key), str(name)) for key, name in rows if name is not None]

    def find_actors(self, session: Session, text: str) -> list[tuple[Any, str]]:
        """Find actors whose name holds a text."""
        mapper = self._actor_mapper()
        if mapper is None:
            return []
        found = [naming_column(mapper.local_table, [name]) for name in NAMES_OF_ACTORS]
        names = [each for each in found if each is not None]
        wanted = pg.lower(cast(literal(text), Text()), type_=Text())
        holds = [pg.strpos(pg.lower(cast(each, Text()), type_=Text()), wanted) > 0 for each in names]
        if not holds:
            return []
        key = mapper.primary_key[0]
        query = select(key).where(or_(*holds)).order_by(key).limit(FOUND)
        keys = self._source(session, mapper).scalars(query).all()
        self.load(session, keys)
        return [(each, self.actor(each)) for each in keys]

    def _load_actors(self, session: Session, wanted: Mapping[str, Any]) -> None:
        mapper = self._actor_mapper()
        if mapper is None or not wanted:
            return
        keys = [(key,) for key in wanted.values()]
        source = self._source(session, mapper)
        found = _load(source, mapper.local_table, mapper, keys, self.naming.actor_name, NAMES_OF_ACTORS)
        self._actors |= {str(key[0]): name for key, name in found.items()}
        gone = [text for text in wanted if text not in self._actors]
        if gone and source is session and isinstance(mapper.local_table, Table):
            # Who was deleted keeps the name that the trail knows.
            table = mapper.local_table
            schema = str(table.schema or session.scalar(_default_schema()))
            self._actors |= self._recorded(session, schema, table.name, gone, self.naming.actor_name, NAMES_OF_ACTORS)

    def _load_records(
        self, session: Session, schema: str, table_name: str, keys: list[str], activities: Sequence[Any]
    ) -> None:
        table = table_of(self.scope, schema, table_name)
        found: dict[str, str | None] = {}
        if table is not None:
            parsed: dict[tuple[Any, ...], str] = {}
            for text in keys:
                try:
                    parsed[parse_key(table, text)] = text
                except AuditError:
                    continue
            mapper = mapper_of(self.scope, table)
            named = _load(session, table, mapper, list(parsed), self.naming.record_name, _OF_RECORD)
            found = {parsed[key]: name for key, name in named.items() if key in parsed}
        gone = [key for key in keys if key not in found]
        if gone:
            found |= self._recorded(session, schema, table_name, gone, self.naming.record_name, _OF_RECORD)
        self._records |= {(schema, table_name, key): name for key, name in found.items()}

    def _recorded(
        self,
        session: Session,
        schema: str,
        table_name: str,
        keys: list[str],
        name_of: Callable[[Any], str | None] | None,
        columns: Sequence[str],
    ) -> dict[str, str | None]:
        """Name records that are gone as the last activity of each has them."""
        activity = inspect(self.log.activity_cls).local_table
        asked = pg.unnest(literal(keys, ARRAY(Text()))).table_valued("key", name="asked").render_derived()
        last = (
            select(activity.c.id)
            .where(
                activity.c.table_name == cast(literal(table_name), Text()),
                activity.c.row_key == asked.c.key,
                activity.c.verb.in_(("insert", "update", "delete", "snapshot")),
            )
            .order_by(activity.c.table_name, activity.c.row_key, activity.c.id.desc())
            .limit(1)
            .lateral()
        )
        ids = session.scalars(select(last.c.id).select_from(asked).join(last, true())).all()
        found: dict[str, str | None] = {}
        for each in load_activities(self.log, session, ids, LOADED_INTO_LOG):
            if is_loaded(each) and each.schema == schema:
                found[each.row_key] = _name_of_recorded(self.scope, each, name_of, columns)
        return found

    def _source(self, session: Session, mapper: Mapper[Any]) -> Any:
        is_here = getattr(mapper.local_table, "metadata", None) is self.scope.metadata
        return session if is_here else self.elsewhere()

    def _actor_mapper(self) -> Mapper[Any] | None:
        actor = self.scope.actor
        return None if actor.named is None else inspect(actor.found)


def _load(
    session: Session,
    table: Any,
    mapper: Mapper[Any] | None,
    keys: list[tuple[Any, ...]],
    name_of: Callable[[Any], str | None] | None,
    columns: Sequence[str],
) -> dict[tuple[Any, ...], str | None]:
    """Name the rows that are there, by their primary keys."""
    primary_key = list(table.primary_key.columns)
    if not keys or not primary_key:
        return {}
    is_wanted: ColumnElement[bool] = or_(
        *(
            and_(*(equal(column, literal(value, column.type), column.type) for column, value in zip(primary_key, key)))  # noqa: B905
            for key in keys
        )
    )
    name_of = name_of or _own_text(mapper)
    if mapper is not None and name_of is not None:
        query = select(mapper.class_, *primary_key).where(is_wanted).options(lazyload("*"))
        return {tuple(row[1:]): _called(name_of, row[0]) for row in session.execute(query)}
    named = [each for each in [naming_column(table, columns)] if each is not None]
    query = select(*(named or primary_key[:1]), *primary_key).where(is_wanted)
    return {tuple(row[1:]): short_name(row[0]) if named else None for row in session.execute(query)}


def _name_of_recorded(
    scope: Scope, activity: Any, name_of: Callable[[Any], str | None] | None, columns: Sequence[str]
) -> str | None:
    data = {**_object(activity.old_data), **_object(activity.changed_data)}
    masked = activity.masked or ()
    table = table_of(scope, activity.schema, activity.table_name)
    name_of = name_of or _own_text(None if table is None else mapper_of(scope, table))
    if name_of is not None:
        try:
            past = activity.before if activity.verb == "delete" else activity.after
        except UNNAMEABLE:
            past = None
        if past is not None and (name := _called(name_of, past)) is not None:
            return name
    for column in columns:
        if isinstance(data.get(column), str) and column not in masked:
            return short_name(data[column])
    return None


def _own_text(mapper: Mapper[Any] | None) -> Callable[[Any], str | None] | None:
    """Return ``str``, if the class of the model says what that is."""
    return str if mapper is not None and says_itself(mapper.class_) else None


def _called(name_of: Callable[[Any], str | None], obj: Any) -> str | None:
    try:
        return short_name(name_of(obj))
    except UNNAMEABLE:
        return None


def _plural(words: str) -> str:
    if re.search(r"[^aeiou]y$", words):
        return words[:-1] + "ies"
    return words + ("es" if re.search(r"(s|x|z|ch|sh)$", words) else "s")


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _default_schema() -> Any:
    return select(pg.current_schema())
