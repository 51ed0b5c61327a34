"""What is run, in what sizes, and with whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NONE, OURS, FLOOR = "none", "ours", "floor"
TRIGGERS = (NONE, OURS, "flask-audit-logger", "postgresql-audit")
ORM = (*TRIGGERS, "continuum")
TRAILS = ("ours", "flask-audit-logger", "postgresql-audit", "continuum")


@dataclass(frozen=True)
class Step:
    """One measure: a step of the worker with its arguments."""

    measure: str
    title: str
    step: str
    arguments: Mapping[str, Any]
    #: Other arguments in the round that only warms up; none means that there is no such round.
    warm_up: Mapping[str, Any] | None = field(default_factory=dict)
    subjects: tuple[str, ...] = TRIGGERS
    over_link: bool = False
    #: Of the figures: seconds, bytes or a rate.
    unit: str = "s"


@dataclass(frozen=True)
class Workload:
    """Steps that are run in turns, round by round."""

    number: int
    title: str
    steps: tuple[Step, ...]
    #: The maximum number of rounds, and the seconds after which no new one begins; but at least ``least`` rounds.
    rounds: int
    seconds: float
    least: int = 3


@dataclass(frozen=True)
class Sizes:
    """How much is done in one step."""

    commits: int = 150
    commits_over_link: int = 60
    statements: int = 2_000
    bulk: int = 100_000
    excluded: int = 50_000
    flushes: int = 40
    clean: int = 10_000
    writers: int = 8
    writing_seconds: float = 2.0
    trails: tuple[int, ...] = (1_000_000,)
    reading_seconds: float = 2.0
    growth_single: int = 1_000
    growth_bulk: int = 20_000
    memory: int = 1_000_000
    tables: int = 2_000
    backlog: int = 100_000
    months: int = 84
    of_a_month: int = 10_000
    wide: int = 50_000
    #: The maximum number of rounds, whatever a workload says.
    rounds: int = 100

    @property
    def source(self) -> int:
        """Rows of the table that bulk loads read."""
        return max(self.bulk, self.clean + 1, self.commits + 100, self.statements + 100, 1000)


FULL = Sizes()
LARGE = Sizes(trails=(1_000_000, 10_000_000))
SMOKE = Sizes(
    commits=5,
    commits_over_link=5,
    statements=20,
    bulk=500,
    excluded=200,
    flushes=3,
    clean=100,
    writers=2,
    writing_seconds=0.2,
    trails=(1_000, 2_000),
    reading_seconds=0.1,
    growth_single=20,
    growth_bulk=200,
    memory=2_000,
    tables=20,
    backlog=1_000,
    months=3,
    of_a_month=200,
    wide=200,
    rounds=1,
)


def plan(sizes: Sizes) -> list[Workload]:
    """List the workloads."""
    return [
        replace(workload, rounds=min(workload.rounds, sizes.rounds), least=min(workload.least, sizes.rounds))
        for workload in _workloads(sizes)
    ]


def _workloads(sizes: Sizes) -> list[Workload]:
    few: dict[str, Any] = {"size": min(1_000, sizes.bulk)}
    return [
        Workload(
            1,
            "ORM: one object and a commit",
            (
                Step("orm_insert", "insert, loopback", "orm_insert", {"size": sizes.commits}, subjects=ORM),
                Step("orm_update", "update, loopback", "orm_update", {"size": sizes.commits}, subjects=ORM),
                Step(
                    "orm_insert_link",
                    "insert, 1 ms",
                    "orm_insert",
                    {"size": sizes.commits_over_link},
                    subjects=ORM,
                    over_link=True,
                ),
                Step(
                    "orm_update_link",
                    "update, 1 ms",
                    "orm_update",
                    {"size": sizes.commits_over_link},
                    subjects=ORM,
                    over_link=True,
                ),
            ),
            rounds=15,
            seconds=90,
        ),
        Workload(
            2,
            f"{sizes.statements:,} statements of one row in one transaction",
            tuple(
                Step(
                    f"single_{verb}",
                    verb.upper(),
                    "single",
                    {"name": f"single_{verb}", "size": sizes.statements},
                    subjects=(*TRIGGERS, FLOOR),
                )
                for verb in ("insert", "update")
            ),
            rounds=11,
            seconds=60,
        ),
        Workload(
            3,
            f"one statement for {sizes.bulk:,} rows",
            (
                *(
                    Step(
                        f"bulk_{verb}",
                        verb.upper(),
                        "bulk",
                        {"name": f"bulk_{verb}", "size": sizes.bulk},
                        warm_up=few,
                        subjects=(*TRIGGERS, FLOOR),
                    )
                    for verb in ("insert", "update", "delete")
                ),
                Step("bulk_copy", "COPY", "bulk_copy", {"size": sizes.bulk}, few, subjects=(*TRIGGERS, FLOOR)),
            ),
            rounds=7,
            seconds=165,
        ),
        Workload(
            4,
            "UPDATE of an excluded column",
            (
                Step(
                    "excluded_bulk",
                    f"{sizes.excluded:,} rows at once",
                    "bulk",
                    {"name": "bulk_excluded", "size": sizes.excluded},
                    warm_up=few,
                ),
                Step(
                    "excluded_single",
                    f"{sizes.statements:,} rows one by one",
                    "single",
                    {"name": "single_excluded", "size": sizes.statements},
                ),
            ),
            rounds=9,
            seconds=50,
        ),
        Workload(
            5,
            "ORM: flush of one change",
            tuple(
                Step(
                    f"flush_{clean}",
                    f"{clean:,} clean objects in the session",
                    "flush",
                    {"size": sizes.flushes, "clean": clean},
                    warm_up={"size": 3},
                    subjects=ORM,
                )
                for clean in (sizes.clean, 0)
            ),
            rounds=9,
            seconds=40,
        ),
        Workload(
            6,
            f"{sizes.writers} writers at once",
            (
                Step(
                    "writers",
                    "ORM update and commit",
                    "writers",
                    {"size": sizes.writers, "seconds": sizes.writing_seconds},
                    warm_up={"seconds": 0.2},
                    subjects=ORM,
                    unit="1/s",
                ),
            ),
            rounds=5,
            seconds=40,
        ),
        Workload(
            7,
            "reading a long trail",
            tuple(
                Step(
                    f"reading_{size}",
                    f"{size:,} changes",
                    "reading",
                    {"size": size, "seconds": sizes.reading_seconds},
                    warm_up=None,
                    subjects=TRAILS,
                )
                for size in sizes.trails
            ),
            rounds=1,
            seconds=90,
            least=1,
        ),
        Workload(
            8,
            "growth of the trail for each change",
            (
                *(
                    Step(
                        f"growth_single_{verb}",
                        f"{verb}, one a transaction",
                        "growth_single",
                        {"name": verb, "size": sizes.growth_single},
                        warm_up=None,
                        subjects=TRAILS,
                        unit="B",
                    )
                    for verb in ("insert", "update", "delete")
                ),
                *(
                    Step(
                        f"growth_bulk_{verb}",
                        f"{verb}, {sizes.growth_bulk:,} rows",
                        "growth_bulk",
                        {"name": f"bulk_{verb}", "size": sizes.growth_bulk},
                        warm_up=None,
                        subjects=TRAILS[:3],
                        unit="B",
                    )
                    for verb in ("insert", "update", "delete")
                ),
            ),
            rounds=1,
            seconds=40,
            least=1,
        ),
        Workload(
            9,
            f"memory while {sizes.memory:,} rows are loaded",
            tuple(
                Step(
                    f"memory_{load}",
                    title,
                    f"memory_{load}",
                    {"size": sizes.memory, "source_rows": min(sizes.source, sizes.memory)},
                    warm_up=None,
                    subjects=(NONE, OURS),
                    unit="B",
                )
                for load, title in (("insert", "INSERT ... SELECT"), ("copy", "COPY"))
            ),
            rounds=1,
            seconds=90,
            least=1,
        ),
        Workload(
            10,
            f"{sizes.tables:,} tables at install",
            (
                Step(
                    "many_tables",
                    f"{sizes.tables:,} tables",
                    "many_tables",
                    {"size": sizes.tables},
                    warm_up={"size": 20},
                    subjects=(OURS,),
                ),
            ),
            rounds=3,
            seconds=120,
        ),
        Workload(
            11,
            f"a stream that is {sizes.backlog:,} activities behind",
            (
                Step(
                    "stream",
                    "read and acknowledged",
                    "stream",
                    {"size": sizes.backlog},
                    warm_up={"size": 1_000},
                    subjects=(OURS,),
                    unit="1/s",
                ),
            ),
            rounds=5,
            seconds=60,
        ),
        Workload(
            12,
            f"a trail of {sizes.months} partitions",
            (
                Step(
                    "years",
                    f"{sizes.of_a_month:,} activities in each",
                    "years",
                    {"size": sizes.of_a_month, "months": sizes.months},
                    warm_up=None,
                    subjects=(OURS,),
                ),
            ),
            rounds=1,
            seconds=120,
            least=1,
        ),
        Workload(
            13,
            "wide rows: one integer of 60 columns",
            (
                *(
                    Step(
                        f"wide_{store}",
                        f"{store} stored, {sizes.wide:,} at once",
                        "wide",
                        {"store": store, "size": sizes.statements, "many": sizes.wide},
                        warm_up={"size": 20, "many": 200},
                        subjects=(OURS,),
                    )
                    for store in ("rows", "changes")
                ),
                *(
                    Step(
                        f"wide_growth_{store}",
                        f"{store} stored, an activity",
                        "wide_growth",
                        {"store": store, "size": 20, "times": 102},
                        warm_up=None,
                        subjects=(OURS,),
                        unit="B",
                    )
                    for store in ("rows", "changes")
                ),
            ),
            rounds=5,
            seconds=120,
        ),
    ]
