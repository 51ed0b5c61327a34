"""SQLAlchemy and nothing else: `hatch run example-plain`. It says what it does, and ends."""

from __future__ import annotations

import sys
from pathlib import Path

from audit_core import AuditLog, audit_context
from sqlalchemy import Engine, create_engine, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.database import demo_database
from examples.ending import leave_at_signals


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    __table_args__ = ({"info": {"versioned": {"mask": ["secret"]}}},)

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    limit: Mapped[int]
    secret: Mapped[str]


audit_log = AuditLog(Base)


def main() -> None:
    """Run the example on a database that is dropped in the end."""
    leave_at_signals()
    with demo_database() as database:
        engine = create_engine(database.url)
        audit_log.attach(engine)
        with engine.begin() as connection:
            Base.metadata.create_all(connection)
            audit_log.install(connection)
        change(engine)
        read(engine)
        take_back(engine)
        engine.dispose()


def change(engine: Engine) -> None:
    """Write as the ORM does, and with one statement for many rows."""
    with Session(engine) as session, audit_context(actor_id="ann", reason="two customers"):
        session.add_all(
            [
                Account(id=1, owner="Ada", limit=500, secret="1815"),
                Account(id=2, owner="Bo", limit=300, secret="1907"),
            ]
        )
        session.commit()
    with Session(engine) as session, audit_context(actor_id="ben", reason="higher limits"):
        session.execute(update(Account).values(limit=Account.limit * 100))
        session.commit()


def read(engine: Engine) -> None:
    """Print what happened to one account, and what it was."""
    with Session(engine) as session:
        for activity in session.scalars(audit_log.history(Account, 1)):
            print(activity.verb, activity.changes, "by", activity.transaction.actor_id)
            first = activity.issued_at
        account = audit_log.get_as_of(session, Account, 1, first)
        assert account is not None
        print(f"{account.owner} had a limit of {account.limit}, and a secret that the trail does not know")


def take_back(engine: Engine) -> None:
    """Undo all that Ben did."""
    with Session(engine) as session, audit_context(actor_id="ann", reason="one zero too many"):
        (activity,) = session.scalars(audit_log.activities(actor="ben").limit(1))
        plan = audit_log.plan_undo(session, activity.transaction)
        for step in plan.steps:
            print("undo:", step.action, step.table_name, step.row_key, *step.columns)
        plan.apply()
        session.commit()
        print("limits now:", *session.scalars(Account.__table__.select().with_only_columns(Account.limit)))
    with engine.connect() as connection:
        print("check:", audit_log.check(connection))


if __name__ == "__main__":
    main()
