"""What this project has set itself, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from benchmarks.plan import FLOOR, OURS
from benchmarks.results import Results
from benchmarks.subjects import PEERS, SUBJECTS

PREDECESSOR, POSTGRESQL_AUDIT = "flask-audit-logger", "postgresql-audit"
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Goal:
    """A figure and its limit. The figure is None if it was not measured."""

    workload: int
    text: str
    value: float | None
    limit: float
    kind: Literal["at most", "at least"] = "at most"
    unit: Literal["", "s", "ms", "MiB"] = ""

    @property
    def is_met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value <= self.limit if self.kind == "at most" else self.value >= self.limit


def goals(results: Results) -> list[Goal]:
    """Compare the results with the goals of the workloads that were run."""
    found = [goal for rule in RULES for goal in rule(results)]
    return [goal for goal in found if goal.workload in results.workloads]


def _orm(results: Results) -> Iterator[Goal]:
    for verb in ("insert", "update"):
        for suffix, where, limit in (("_link", "1 ms", 1.05), ("", "loopback", 1.30)):
            value = _ratio(results, f"orm_{verb}{suffix}")
            yield Goal(1, f"ORM {verb} and commit, {where}: time / no audit", value, limit)


def _single(results: Results) -> Iterator[Goal]:
    for verb in ("insert", "update"):
        for peer, limit in ((PREDECESSOR, 0.5), (POSTGRESQL_AUDIT, 0.6)):
            value = _added_share(results, f"single_{verb}", peer)
            yield Goal(2, f"{verb.upper()} one by one: added / added by {peer}", value, limit)


def _bulk(results: Results) -> Iterator[Goal]:
    for name, limit in (("insert", 0.9), ("copy", 0.9), ("delete", 0.9), ("update", 0.5)):
        measure = f"bulk_{name}"
        yield Goal(3, f"bulk {name.upper()}: added / added by the fastest peer", _fastest(results, measure), limit)
        if name != "update":
            yield Goal(3, f"bulk {name.upper()}: added / floor", _added_share(results, measure, FLOOR), 1.25)


def _excluded(results: Results) -> Iterator[Goal]:
    for measure, title in (("excluded_bulk", "many rows"), ("excluded_single", "one by one")):
        text = f"UPDATE of an excluded column, {title}: added / added by the fastest peer"
        yield Goal(4, text, _fastest(results, measure), 0.3)


def _flush(results: Results) -> Iterator[Goal]:
    names = [name for name in results.measures if name.startswith("flush_") and ":" not in name]
    if not names:
        return
    many, few = names
    title = results.measures[many].title
    loaded, alone = _ratio(results, many), _ratio(results, few)
    yield Goal(5, f"flush, {title}: time / no audit", loaded, 1.02)
    # The trigger's time is in both: what is left is what unchanged objects cost.
    share = loaded / alone if loaded and alone else None
    yield Goal(5, f"flush, {title}: the same / that with none in the session", share, 1.02)


def _writers(results: Results) -> Iterator[Goal]:
    yield Goal(6, "writers at once: rate / no audit", _ratio(results, "writers"), 0.8, "at least")


def _reading(results: Results) -> Iterator[Goal]:
    for what in ("history", "transaction"):
        times = [
            time * 1000
            for name, measure in results.measures.items()
            if name.startswith("reading_") and name.endswith(f":{what}") and (time := measure.median(OURS)) is not None
        ]
        text = {"history": "history of a record", "transaction": "changes of a transaction"}[what]
        yield Goal(7, f"{text}: the slowest", max(times, default=None), 1.0, unit="ms")
        grown = times[-1] / times[0] if len(times) > 1 else None
        yield Goal(7, f"{text}: ten times as many changes / as few", grown, 1.5)


def _growth(results: Results) -> Iterator[Goal]:
    peers = [name for name in PEERS if SUBJECTS[name].keeps_old_values]
    for kind, title in (("single", "one change a transaction"), ("bulk", "bulk")):

        def total(subject: str, kind: str = kind) -> float | None:
            sizes = [
                _median(results, f"growth_{kind}_{verb}:total", subject) for verb in ("insert", "update", "delete")
            ]
            return None if None in sizes else sum(size for size in sizes if size is not None)

        smallest = min((size for peer in peers if (size := total(peer)) is not None), default=None)
        ours = total(OURS)
        value = ours / smallest if ours is not None and smallest else None
        yield Goal(8, f"bytes for each change, {title}: ours / smallest peer with old values", value, 0.7)


def _memory(results: Results) -> Iterator[Goal]:
    # A few work_mem: for the transition table, and for a sort or a hash; and some room for the rest.
    server_limit = (4 * results.about["work_mem"]) / MEBIBYTE + 16
    for load, title in (("insert", "INSERT ... SELECT"), ("copy", "COPY")):
        for where, limit in (("client", 8.0), ("server", server_limit)):
            ours = _median(results, f"memory_{load}:{where}", OURS)
            value = None if ours is None else ours / MEBIBYTE
            yield Goal(9, f"{title}: memory of the {where}", value, limit, unit="MiB")


def _many_tables(results: Results) -> Iterator[Goal]:
    install, check, autogenerate, alone = (
        _median(results, f"many_tables:{figure}", OURS)
        for figure in ("install", "check", "autogenerate", "autogenerate_alone")
    )
    yield Goal(10, "install() of 2,000 tables", install, 15, unit="s")
    yield Goal(10, "check() of 2,000 tables", check, 2, unit="s")
    added = None if autogenerate is None or alone is None else autogenerate - alone
    yield Goal(10, "autogenerate without a change: added to Alembic's own", added, 2, unit="s")


def _stream(results: Results) -> Iterator[Goal]:
    rate = _median(results, "stream", OURS)
    yield Goal(11, "a stream that is behind: activities a second", rate, 20_000, "at least")


def _years(results: Results) -> Iterator[Goal]:
    for figure, title in (
        ("page", "the newest 51 activities"),
        ("activity", "an activity by its id"),
        ("transaction", "the changes of a transaction"),
        ("history", "the newest 20 changes of a record"),
    ):
        time = _median(results, f"years:{figure}", OURS)
        yield Goal(12, f"many partitions: {title}", None if time is None else time * 1000, 5, unit="ms")
    yield Goal(12, "the oldest partition removed", _median(results, "years:retain", OURS), 1, unit="s")


def _wide(results: Results) -> Iterator[Goal]:
    for figure, title, limit in (
        ("wide_growth_{}", "bytes of an activity", 0.15),
        ("wide_{}:single", "time of updates one by one", 1.5),
        ("wide_{}:bulk", "time of an update of many rows", 2.5),
    ):
        rows, changes = (_median(results, figure.format(store), OURS) for store in ("rows", "changes"))
        yield Goal(13, f"wide rows, {title}: changes / rows", changes / rows if rows and changes else None, limit)


RULES: tuple[Callable[[Results], Iterator[Goal]], ...] = (
    _orm,
    _single,
    _bulk,
    _excluded,
    _flush,
    _writers,
    _reading,
    _growth,
    _memory,
    _many_tables,
    _stream,
    _years,
    _wide,
)


def _median(results: Results, measure: str, subject: str) -> float | None:
    return results.measures[measure].median(subject) if measure in results.measures else None


def _ratio(results: Results, measure: str) -> float | None:
    ratio = results.measures[measure].ratio(OURS) if measure in results.measures else None
    return None if ratio is None else ratio.median


def _added(results: Results, measure: str, subject: str) -> float | None:
    return results.measures[measure].added(subject) if measure in results.measures else None


def _added_share(results: Results, measure: str, other: str) -> float | None:
    ours, theirs = _added(results, measure, OURS), _added(results, measure, other)
    return None if ours is None or theirs is None or theirs <= 0 else ours / theirs


def _fastest(results: Results, measure: str) -> float | None:
    """Return what we add, as share of what the fastest peer adds."""
    peers = [(added, peer) for peer in PEERS if (added := _added(results, measure, peer)) is not None]
    return _added_share(results, measure, min(peers)[1]) if peers else None
