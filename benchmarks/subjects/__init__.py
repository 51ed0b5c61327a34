"""Who is measured. Each subject has a module here, which only the worker in its environment imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """A way to record changes, or not to."""

    name: str
    module: str
    #: From PyPI, into an environment of its own; empty for the environment of the benchmark.
    requirements: tuple[str, ...] = ()
    #: It records what the ORM writes, and nothing else.
    orm_only: bool = False
    #: An entry of its trail has the old and the new values.
    keeps_old_values: bool = True

    @property
    def is_peer(self) -> bool:
        return bool(self.requirements)


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("none", "none"),
        Subject("ours", "ours"),
        Subject("floor", "floor"),
        Subject(
            "flask-audit-logger",
            "flask_audit_logger_2",
            # Alembic 1.18 orders operations in another way, which breaks its migrations.
            ("flask-audit-logger==2.0.0", "flask-sqlalchemy==3.1.1", "alembic<1.18"),
        ),
        Subject(
            "postgresql-audit",
            "postgresql_audit_0",
            ("postgresql-audit==0.18.0",),
        ),
        Subject(
            "continuum",
            "continuum",
            ("sqlalchemy-continuum==2.0.0",),
            orm_only=True,
            keeps_old_values=False,
        ),
    )
}
PEERS = tuple(name for name, subject in SUBJECTS.items() if subject.is_peer)
