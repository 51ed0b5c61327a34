"""An application of Celery, as a worker runs it."""

from __future__ import annotations

import os
import threading
from typing import Any

from audit_core import audit_context
from audit_core.capture.context import current_context
from audit_core.celery import setup
from celery import Celery, Task, chain
from sqlalchemy import Engine, create_engine

from tests.frameworks.conftest import add, audit_log

# Where tasks are only queued, and eager ones run, the test says which engine it is.
engine: Engine
if "TASKS_DATABASE" in os.environ:
    engine = create_engine(os.environ["TASKS_DATABASE"])
    audit_log.attach(engine)

app = Celery("tasks", broker=os.environ.get("TASKS_BROKER"), backend=os.environ.get("TASKS_BROKER"))
# In seconds and tries: what a test waits for at most is what it says itself.
app.conf.update(broker_connection_retry_on_startup=True, result_chord_retry_interval=0.1)
setup(app)


@app.task
def write(*names: Any) -> str:
    """Write items, and say where."""
    for name in names:
        if isinstance(name, str):
            add(engine, name)
    return f"{os.getpid()} {threading.get_ident()}"


@app.task
def fail(name: str) -> None:
    add(engine, name)
    raise ZeroDivisionError


@app.task
def leave(name: str) -> None:
    """Enter a context and never leave it, as code with a mistake does."""
    audit_context(actor_id="left behind", reason="left behind").__enter__()
    add(engine, name)
    raise ZeroDivisionError


@app.task(bind=True, max_retries=2)
def write_again(self: Task, name: str) -> None:
    add(engine, f"{name} {self.request.retries}")
    if self.request.retries < 2:
        raise self.retry(countdown=0)


@app.task
def queue(name: str) -> None:
    """Queue another task, and one for somebody else."""
    write.delay(f"{name} queued")
    with audit_context(actor_id="other"):
        write.delay(f"{name} for other")


@app.task(bind=True)
def replace(self: Task, name: str) -> None:
    self.replace(chain(write.si(f"{name} 1"), write.si(f"{name} 2")))


@app.task
def who() -> tuple[str, str]:
    """Say of which type the actor is."""
    actor_id = current_context().actor_id
    return type(actor_id).__name__, str(actor_id)
