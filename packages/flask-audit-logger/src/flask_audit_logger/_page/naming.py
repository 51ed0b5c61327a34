"""What the page calls actors, records and tables, loaded in one query for each table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit_core import AuditError, AuditLog
from audit_core.siblings import (
    NAMES_OF_ACTORS,
    Scope,
    is_audited,
    mapper_of,
    naming_column,
    parse_actor,
    parse_key,
    pg,
    scope_of,
    table_of,
)
from sqlalchemy import (
    ARRAY,
    Table,
    Text,
    cast,
    inspect,
    literal,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Mapper, Session

from .loading import LOADED_INTO_LOG, is_loaded, load_activities
from .named_rows import OF_RECORD, load_names, name_of_recorded, readable_rows
from .referring import Named, Target, key_of, recorded_values, targets_of

#: Actors that a field offers, and that a search finds.
OFFERED, FOUND = 100, 20


_Record = tuple[str, str, str]


@dataclass(frozen=True)
class Naming:
    """How the application calls things; None for the defaults."""

    actor_name: Callable[[Any], str | None] | None = None
    record_name: Callable[[Any], str | None] | None = None
    #: Returns one name, or that of one row and that of several.
    table_name: Callable[[str], str | tuple[str, str] | None] | None = None

    def table(self, name: str, count: int) -> str | None:
        """Return what the application calls a row of a table, or several."""
        given = None if self.table_name is None else self.table_name(name)
        return given if not given or isinstance(given, str) else given[count != 1]


@dataclass
class Names:
    """The names of one answer, as far as they are loaded."""

    log: AuditLog
    naming: Naming
    #: Returns the session of the application, for actors who are in another database.
    elsewhere: Callable[[], Any]
    _actors: dict[str, str | None] = field(default_factory=dict)
    _records: dict[_Record, str | None] = field(default_factory=dict)
    _targets: dict[tuple[str, str], dict[str, Target]] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        return scope_of(self.log)

    def load(
        self,
        session: Session,
        actors: Iterable[Any] = (),
        activities: Sequence[Any] = (),
        rows: Iterable[tuple[str, str, str | None]] = (),
        values: Iterable[tuple[str, str, Mapping[str, Any]]] = (),
    ) -> None:
        """Load the names of actors, by their primary keys, and of records.

        :param activities: whose records are named, and what these refer to.
        :param rows: records, by schema, table and key.
        :param values: rows of tables, for what they refer to.
        """
        wanted_actors = {str(key): key for key in actors if key is not None}
        wanted: dict[tuple[str, str], set[str]] = {}
        for schema, table_name, key in (*rows, *((each.schema, each.table_name, each.row_key) for each in activities)):
            if key is not None:
                wanted.setdefault((schema, table_name), set()).add(key)
        referred: dict[tuple[str, str], Table] = {}
        for target, key in self._referred_to(activities, values):
            place = target.schema, target.table.name
            if self._is_actor(target):
                wanted_actors |= self._actor_key(key)
            elif place in wanted and place not in referred:
                wanted[place].add(key)
            else:
                referred[place] = target.table
                wanted.setdefault(place, set()).add(key)
        self._load_actors(session, {text: key for text, key in wanted_actors.items() if text not in self._actors})
        for (schema, table_name), keys in wanted.items():
            new = sorted(key for key in keys if (schema, table_name, key) not in self._records)
            if new:
                found = self._names_of(session, schema, table_name, new, referred.get((schema, table_name)))
                self._records |= {(schema, table_name, key): found.get(key) for key in new}

    def referred(self, activity: Any, column: str) -> tuple[Named | None, Named | None]:
        """Return what a column referred to before an activity, and after it; None where it refers to nothing."""
        if column not in self._targets_of(activity.schema, activity.table_name):
            return None, None
        old, new = recorded_values(activity, [column])
        place = activity.schema, activity.table_name
        return self.called(*place, old, column), self.called(*place, new, column)

    def called_in(self, activity: Any, column: str) -> Named | None:
        """Return what to call what a column refers to that an activity added or deleted."""
        old, new = self.referred(activity, column)
        return new or old

    def called(self, schema: str, table_name: str, values: Mapping[str, Any], column: str) -> Named | None:
        """Return what to call what a column of a row refers to."""
        target, key = self._targets_of(schema, table_name).get(column), key_of(values.get(column))
        if target is None or key is None:
            return None
        of_record = self.record_of(target.schema, target.table.name, key)
        is_actor = self._is_actor(target)
        name = self._actors.get(key) if is_actor else of_record
        return Named(name, key, target.table.fullname if is_audited(target.table) else None, is_actor)

    def column(self, schema: str, table_name: str, column: str, named: Iterable[Named | None]) -> str:
        """Return what to call a column: "author_id" is a key, and what stands beside it the name of the author."""
        short, table = column.removesuffix("_id"), table_of(self.scope, schema, table_name)
        is_named = any(each and each.name for each in named)
        return short if short and is_named and table is not None and short not in table.columns else column

    def column_of(self, activity: Any, column: str) -> str:
        """Return what to call a column of an activity."""
        return self.column(activity.schema, activity.table_name, column, self.referred(activity, column))

    def called_by_column(self, activity: Any) -> dict[str, dict[str, str]]:
        """Return the names of what an activity refers to, by the columns and the keys."""
        found: dict[str, dict[str, str]] = {}
        for column in self._targets_of(activity.schema, activity.table_name):
            for named in self.referred(activity, column):
                if named is not None and named.name is not None:
                    found.setdefault(column, {})[named.row_key] = named.name
        return found

    def _targets_of(self, schema: str, table_name: str) -> dict[str, Target]:
        place = schema, table_name
        if place not in self._targets:
            table = table_of(self.scope, schema, table_name)
            self._targets[place] = {} if table is None else targets_of(table, schema)
        return self._targets[place]

    def _referred_to(
        self, activities: Iterable[Any], values: Iterable[tuple[str, str, Mapping[str, Any]]]
    ) -> Iterator[tuple[Target, str]]:
        """Yield what activities and rows refer to, and by which keys."""
        rows = list(values)
        for each in activities:
            place = each.schema, each.table_name
            rows += ((*place, row) for row in recorded_values(each, self._targets_of(*place)))
        for schema, table_name, row in rows:
            for column, target in self._targets_of(schema, table_name).items():
                key = key_of(row.get(column))
                if key is not None:
                    yield target, key

    def _is_actor(self, target: Target) -> bool:
        mapper = self._actor_mapper()
        return mapper is not None and mapper.local_table is target.table

    def _actor_key(self, key: str) -> dict[str, Any]:
        try:
            return {key: parse_actor(self.scope, key)}
        except AuditError:
            return {}

    def name_of_actor(self, key: Any) -> str | None:
        """Return what an actor is called, if there is a name."""
        return self._actors.get(str(key))

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
        given = self.naming.table(name if table is None else table.fullname, count)
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
        key = mapper.primary_key[0]
        rows = readable_rows(self._source(session, mapper), select(key, column).order_by(key).limit(OFFERED))
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
        keys = [each for (each,) in readable_rows(self._source(session, mapper), query)]
        self.load(session, keys)
        return [(each, self.actor(each)) for each in keys]

    def _load_actors(self, session: Session, wanted: Mapping[str, Any]) -> None:
        mapper = self._actor_mapper()
        if mapper is None or not wanted:
            return
        # Who has no name is not asked for again.
        self._actors |= dict.fromkeys(wanted)
        keys = [(key,) for key in wanted.values()]
        source = self._source(session, mapper)
        name_of = self.naming.actor_name
        found = load_names(source, mapper.local_table, mapper, keys, name_of, NAMES_OF_ACTORS)
        there = {str(key[0]): name for key, name in found.items()}
        self._actors |= there
        gone = [text for text in wanted if text not in there]
        if gone and source is session and isinstance(mapper.local_table, Table):
            # Who was deleted keeps the name that the trail knows.
            table = mapper.local_table
            schema = str(table.schema or session.scalar(_default_schema()))
            self._actors |= self._recorded(session, schema, table.name, gone, name_of, NAMES_OF_ACTORS)

    def _names_of(
        self, session: Session, schema: str, table_name: str, keys: list[str], referred: Table | None
    ) -> dict[str, str | None]:
        """Name records.

        :param referred: the table, if it is only referred to: then it need not be audited.
        """
        audited = table_of(self.scope, schema, table_name)
        table = audited if referred is None else referred
        found: dict[str, str | None] = {}
        if table is not None:
            parsed: dict[tuple[Any, ...], str] = {}
            for text in keys:
                try:
                    parsed[parse_key(table, text)] = text
                except AuditError:
                    continue
            mapper, name_of = mapper_of(self.scope, table), self.naming.record_name
            named = load_names(session, table, mapper, list(parsed), name_of, OF_RECORD)
            found = {parsed[key]: name for key, name in named.items() if key in parsed}
        gone = [key for key in keys if key not in found]
        if gone and (audited is not None or referred is None):
            found |= self._recorded(session, schema, table_name, gone, self.naming.record_name, OF_RECORD)
        return found

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
                found[each.row_key] = name_of_recorded(self.scope, each, name_of, columns)
        return found

    def _source(self, session: Session, mapper: Mapper[Any]) -> Any:
        is_here = getattr(mapper.local_table, "metadata", None) is self.scope.metadata
        return session if is_here else self.elsewhere()

    def _actor_mapper(self) -> Mapper[Any] | None:
        actor = self.scope.actor
        return None if actor.named is None else inspect(actor.found)


def _plural(words: str) -> str:
    if re.search(r"[^aeiou]y$", words):
        return words[:-1] + "ies"
    return words + ("es" if re.search(r"(s|x|z|ch|sh)$", words) else "s")


def _default_schema() -> Any:
    return select(pg.current_schema())
