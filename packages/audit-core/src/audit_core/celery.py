"""Who makes the changes of a task of Celery: who queued it. It needs ``pip install "audit-core[celery]"``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID
from weakref import WeakSet

from celery import Celery, signals

from .audit_log import AuditLog, resolvers_of
from .capture.context import NOTHING_SAID, UNSET, Context, current_context, replace_context
from .capture.conversion import client_addr_text, meta_text
from .capture.resolving import Resolvers, known_context
from .errors import ContextError

__all__ = ["setup", "teardown"]

#: The header of a message that has the context of who queued the task, as JSON.
HEADER = "audit_context"
# What a request of Celery keeps for us while an eager task runs.
_AROUND = "audit_context_around"

#: The apps that were set up.
_apps: WeakSet[Celery] = WeakSet()


def setup(app: Celery, audit_log: AuditLog | None = None) -> None:
    """Let the tasks of an app run in the context of who queued them; twice is once.

    The context travels in a header of the message, with retries, chains and chords, too. ``transaction.meta`` gets
    ``job`` and ``job_id``, the name and the id of the task. What :class:`audit_context` says in the task wins. Call it
    where the app is made, so that it is done both where tasks are queued and in the workers.

    :param audit_log: whose resolvers are asked, too, where a task is queued; such as the AuditLogger of Flask.
    :raises ContextError: by what queues a task, if the actor's primary key is no int, text or UUID, or the meta data
        cannot be stored.
    """
    app = _unwrapped(app)
    teardown(app)
    send_task, resolvers = app.send_task, Resolvers() if audit_log is None else resolvers_of(audit_log)

    def send_in_context(name: str, *args: Any, headers: Mapping[str, Any] | None = None, **options: Any) -> Any:
        # A signal would do, too, but Celery only logs what goes wrong in one, and does not say of which app it is.
        context = known_context(resolvers)
        said = {} if context == NOTHING_SAID else {HEADER: _written(context)}
        return send_task(name, *args, headers={**(headers or {}), **said}, **options)

    app.send_task = send_in_context
    _apps.add(app)
    for signal, receiver in _RECEIVERS:
        signal.connect(receiver, weak=False)


def teardown(app: Celery) -> None:
    """Undo :func:`setup`."""
    app = _unwrapped(app)
    if app in _apps:
        _apps.discard(app)
        del app.send_task  # that of the class is back
    if not _apps:
        for signal, receiver in _RECEIVERS:
            signal.disconnect(receiver)


def _enter(task: Any, **_: Any) -> None:
    if _unwrapped(task.app) not in _apps:
        return
    request = task.request
    job = {"job": task.name, "job_id": request.id}
    if request.is_eager:
        # It runs within what queued it.
        setattr(request, _AROUND, current_context())
        replace_context(current_context().merge(Context(meta=job)))
    else:
        # Nothing that an earlier task has left can stay, whatever happened to that one.
        replace_context(_read(request.get(HEADER), task.name).merge(Context(meta=job)))


def _leave(task: Any, **_: Any) -> None:
    if _unwrapped(task.app) in _apps:
        replace_context(getattr(task.request, _AROUND, NOTHING_SAID))


_RECEIVERS = ((signals.task_prerun, _enter), (signals.task_postrun, _leave))


def _written(context: Context) -> str:
    """Write a context as the text of a header.

    :raises ContextError: if it cannot travel.
    """
    said: dict[str, Any] = {"meta": json.loads(meta_text(context.meta))}
    actor_id = context.actor_id
    if isinstance(actor_id, UUID):
        said["actor_id"] = {"uuid": str(actor_id)}
    elif actor_id is None or (isinstance(actor_id, (int, str)) and not isinstance(actor_id, bool)):
        said["actor_id"] = actor_id
    elif actor_id is not UNSET:
        raise ContextError(
            f"actor_id is {actor_id!r}, a {type(actor_id).__name__}: only an int, a text or a UUID can travel to a "
            "worker. Hand it to the task as an argument, and say audit_context(actor_id=...) in there."
        )
    if context.client_addr is not UNSET:
        said["client_addr"] = context.client_addr and client_addr_text(context.client_addr)
    return json.dumps(said)


def _read(header: Any, task: str) -> Context:
    """Read the context of who queued a task; whoever may write to the broker can have sent anything."""
    if header is None:
        return NOTHING_SAID
    try:
        said = json.loads(header)
        actor_id = said.get("actor_id", UNSET)
        if isinstance(actor_id, dict):
            actor_id = UUID(actor_id["uuid"])
        return Context(actor_id, said.get("client_addr", UNSET), dict(said["meta"]))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Celery would only log it here. What the task writes fails instead of naming nobody.
        message = f"The header {HEADER!r} of the task {task!r} cannot be read: {error}."

        def ask() -> Context:
            raise ContextError(message)

        return Context(ask=ask)


def _unwrapped(app: Any) -> Any:
    """Return the app that a proxy such as ``celery.current_app`` stands for."""
    return app._get_current_object() if hasattr(app, "_get_current_object") else app
