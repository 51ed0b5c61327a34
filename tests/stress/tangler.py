"""Statements in which rows change several times: by referential actions, triggers, functions, or several parts."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule
from sqlalchemy import delete, insert, update

from tests.stress.app import PLACES, TANGLED, Link, Moment, Node, Pair, Person
from tests.stress.machine import How, Machine, hows

few_ids = st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True)
an_id = st.integers(1, 6)
maybe_id = an_id | st.none()

#: What is done to the row $1 of {t}, or to its siblings, while a statement changes it.
SNIPPETS = (
    "UPDATE {t} SET v = v + 1 WHERE id = $1",
    "UPDATE {t} SET v = 0 WHERE id = $1",
    "UPDATE {t} SET v = v + 10 WHERE id <> $1",
    "UPDATE {t} SET v = v + 10 WHERE id < $1",
    "UPDATE {t} SET v = 1 - v",
    "UPDATE {t} SET id = id + 10 WHERE id = $1 AND id < 10",
    "UPDATE {t} SET id = id - 10 WHERE id > 10",
    "DELETE FROM {t} WHERE id = $1",
    "DELETE FROM {t} WHERE id = $1 + 1",
    "INSERT INTO {t} (id, v) VALUES ($1, 7) ON CONFLICT DO NOTHING",
    "INSERT INTO {t} (id, v) VALUES ($1 + 1, 7) ON CONFLICT (id) DO UPDATE SET v = {t}.v + 5",
    "WITH d AS (DELETE FROM {t} WHERE id = $1 RETURNING *) INSERT INTO {t} (id, v, born) SELECT id, v + 1, born FROM d",
)
#: What is done by statements of the application; {ids} stands for a list of numbers.
STATEMENTS = (
    "INSERT INTO {t} (id) SELECT unnest({ids})",
    "INSERT INTO {t} (id, v) SELECT i, 1 FROM unnest({ids}) AS i ON CONFLICT (id) DO UPDATE SET v = {t}.v + 1",
    "UPDATE {t} SET v = v + 1 WHERE id = ANY ({ids})",
    "UPDATE {t} SET v = v + 1",
    "UPDATE {t} SET id = id + 3 WHERE id = ANY ({ids})",
    "UPDATE {t} SET id = id - 1",
    "DELETE FROM {t} WHERE id = ANY ({ids})",
    "UPDATE {t} SET v = stir(id)",
    "UPDATE {t} SET v = v + stir(id) WHERE id = ANY ({ids})",
    "INSERT INTO {t} (id, v) SELECT i, stir(i) FROM unnest({ids}) AS i",
    "DELETE FROM {t} WHERE stir(id) = ANY ({ids})",
    "MERGE INTO {t} USING unnest({ids}) WITH ORDINALITY AS s (id, place) ON s.id = {t}.id "
    "WHEN MATCHED AND place = 2 THEN DELETE WHEN MATCHED THEN UPDATE SET v = place "
    "WHEN NOT MATCHED THEN INSERT (id, v) VALUES (s.id, place)",
    "WITH d AS (DELETE FROM {t} WHERE id = ANY ({ids}) RETURNING *) "
    "INSERT INTO {t} (id, v, born) SELECT id, v + 1, born FROM d LIMIT 2",
    "WITH d AS (DELETE FROM {t} WHERE id = ({ids})[1] RETURNING *), "
    "u AS (UPDATE {t} SET v = v + 1 WHERE id > 3 AND id <> ({ids})[1] RETURNING *), "
    "i AS (INSERT INTO {t} (id, v, born) SELECT id, 9, born FROM d RETURNING *) "
    "SELECT (SELECT count(*) FROM u), (SELECT count(*) FROM i)",
    "DO $$BEGIN FOR i IN 1..2 LOOP UPDATE {t} SET v = 1 - v; UPDATE {t} SET v = 1 - v WHERE id = ANY ({ids}); "
    "END LOOP; DELETE FROM {t} WHERE id = ({ids})[1]; INSERT INTO {t} (id) VALUES (({ids})[1]); END$$",
)
snippets = st.lists(st.sampled_from(SNIPPETS), min_size=1, max_size=2).map("; ".join)
WORKPLACES = [*(each.strip("!") for each in PLACES), "inside"]
places = st.dictionaries(st.sampled_from(WORKPLACES), snippets, max_size=2)


class Tangler(Machine):
    @rule(ids=few_ids, how=hows)
    def insert_people(self, ids: list[int], how: How) -> None:
        self.execute(how, insert(Person).values([{"id": each, "marker": self.marker()} for each in ids]))

    @rule(
        new=st.lists(
            st.tuples(an_id, maybe_id, maybe_id, maybe_id), min_size=1, max_size=3, unique_by=lambda each: each[0]
        ),
        how=hows,
    )
    def insert_links(self, new: list[Any], how: How) -> None:
        rows = [{"id": id_, "a": a, "b": b, "c": c, "marker": self.marker()} for id_, a, b, c in new]
        self.execute(how, insert(Link).values(rows))

    @rule(new=st.lists(st.tuples(an_id, an_id), min_size=1, max_size=3, unique=True), how=hows)
    def insert_pairs(self, new: list[tuple[int, int]], how: How) -> None:
        marker = self.marker()
        rows = [{"a": a, "b": b, "marker": marker, "born": next(self.numbers)} for a, b in new]
        self.execute(how, insert(Pair).values(rows))

    @rule(
        new=st.lists(st.tuples(an_id, maybe_id, maybe_id), min_size=1, max_size=3, unique_by=lambda each: each[0]),
        how=hows,
    )
    def insert_nodes(self, new: list[Any], how: How) -> None:
        rows = [{"id": id_, "parent": parent, "friend": friend, "marker": self.marker()} for id_, parent, friend in new]
        self.execute(how, insert(Node).values(rows))

    @rule(
        model=st.sampled_from([Person, Node]), ids=few_ids, step=st.integers(-6, 6).filter(bool), work=places, how=hows
    )
    def change_keys_that_others_reference(
        self, model: Any, ids: list[int], step: int, work: dict[str, str], how: How
    ) -> None:
        statement = update(model).where(model.id.in_(ids)).values(id=model.id + step)
        self.tangle(how, str(statement.compile(self.connection, compile_kwargs={"literal_binds": True})), "links", work)

    @rule(model=st.sampled_from([Person, Node]), ids=few_ids, work=places, how=hows)
    def delete_what_others_reference(self, model: Any, ids: list[int], work: dict[str, str], how: How) -> None:
        statement = delete(model).where(model.id.in_(ids))
        self.tangle(how, str(statement.compile(self.connection, compile_kwargs={"literal_binds": True})), "links", work)

    @rule(
        table=st.sampled_from((*TANGLED, "busy", "parted")),
        statement=st.sampled_from(STATEMENTS),
        ids=few_ids,
        work=places,
        how=hows,
    )
    def do_several_things(self, table: str, statement: str, ids: list[int], work: dict[str, str], how: How) -> None:
        self.tangle(how, statement.replace("{t}", table).replace("{ids}", f"ARRAY{ids}"), table, work)

    def tangle(self, how: How, statement: str, table: str, work: dict[str, str]) -> None:
        """Run a statement while triggers and functions do their work on a table."""
        nothing = dict.fromkeys(map("stress.{}".format, WORKPLACES), "BEGIN NULL; END")
        settings = {f"stress.{place}": f"BEGIN {each.replace('{t}', table)}; END" for place, each in work.items()}

        def run() -> None:
            self.look((nothing | settings | {"stress.table": table}).items())
            self.connection.exec_driver_sql(statement)
            self.look(nothing.items())

        self.write(how, run)

    @rule(
        at=st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True),
        ratio=st.floats(allow_nan=False),
        raw=st.binary(max_size=3),
        how=hows,
    )
    def insert_moments(self, at: list[int], ratio: float, raw: bytes, how: How) -> None:
        marker = self.marker()
        rows = [
            {
                "at": dt.datetime(2026, 3, 29, each, tzinfo=dt.timezone.utc),
                "day": dt.date(2026, 2, each),
                "span": dt.timedelta(days=-each, seconds=each),
                "ratio": ratio,
                "raw": raw,
                "marker": marker,
                "born": next(self.numbers),
            }
            for each in at
        ]
        self.execute(how, insert(Moment).values(rows))

    @rule(
        change=st.sampled_from(
            [
                "UPDATE moments SET ratio = ratio * 1.4 WHERE abs(ratio) < 1e300",
                "UPDATE moments SET span = span * -1, day = day + 1",
                "UPDATE moments SET raw = raw || '\\x00ff'::bytea",
                "UPDATE moments SET at = at + interval '12 hours'",
                "DELETE FROM moments WHERE at > '2026-03-29 02:00+00'",
            ]
        ),
        how=hows,
    )
    def change_moments(self, change: str, how: How) -> None:
        self.write(how, lambda: self.connection.exec_driver_sql(change))
