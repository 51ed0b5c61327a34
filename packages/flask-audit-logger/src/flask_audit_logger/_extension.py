"""AuditLogger: an AuditLog that knows Flask."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from audit_alembic import process_revision_directives
from audit_core import AuditLog, ConfigurationError, audit_context
from audit_core.siblings import Resolvers, leave_unattached
from flask import Flask, appcontext_pushed, current_app, has_app_context
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import inspect

from ._actor import current_actor_id, current_client_addr
from ._logins import LOGIN_EVENTS, connect
from ._meta import current_meta
from ._page import Access, Naming, Zones, init_page

if TYPE_CHECKING:
    from sqlalchemy import Dialect


class AuditLogger(AuditLog):
    """Record every change of the audited models of a Flask-SQLAlchemy extension.

    One logger is for one database. The engines of each app that uses ``db`` are attached automatically.

    :param db: the Flask-SQLAlchemy extension; models may be declared and apps initialized later.
    :param get_actor_id: returns the actor's primary key; that of Flask-Login's ``current_user`` by default.
    :param get_client_addr: returns the client's IP address; that of the request by default.
    :param get_meta: returns what else to store in ``transaction.meta``; by default method, path, endpoint and id of the
        request, or the ``flask`` command.
    :param actor_cls: the model of those who make changes, by class or name; None for no relationship, which
        makes ``actor_id`` a text.
    :param schema: where ``activity`` and ``transaction`` live; ``public`` if None.
    :param enabled: False sends nothing with the writes of any app, as does ``AUDIT_LOG_ENABLED = False`` in the
        configuration of one; such as in tests on a database without a trail. Where there is one, it records all the
        same, and no actor.
    :param events: the names of the events that :meth:`record_event` may record; any if None. With ``"login"`` among
        them, or alone, the signals of Flask-Login and Flask-Security are recorded: logins and logouts, those that were
        refused, changed passwords. Each is committed at once, in a transaction of its own.
    :param bind_key: records the models with this ``__bind_key__`` instead of those without one.
    :raises ConfigurationError: if the models have a logger already, or a table with a name of the trail.
    """

    _attaches_by_itself = True

    def __init__(
        self,
        db: SQLAlchemy,
        get_actor_id: Callable[[], Any] | None = None,
        get_client_addr: Callable[[], str | None] | None = None,
        actor_cls: type[Any] | str | None = "User",
        schema: str | None = None,
        *,
        get_meta: Callable[[], Mapping[str, Any] | None] | None = None,
        bind_key: str | None = None,
        enabled: bool = True,
        events: Collection[str] | None = None,
    ) -> None:
        if bind_key not in db.metadatas:
            raise ConfigurationError(
                f"bind_key is {bind_key!r} and no model has that __bind_key__. Create the AuditLogger after the "
                "first such model, or correct the key."
            )
        super().__init__(
            db.Model,
            metadata=db.metadatas[bind_key],
            schema=schema,
            actor_cls=actor_cls,
            get_actor_id=get_actor_id or current_actor_id,
            get_client_addr=get_client_addr or current_client_addr,
            get_meta=get_meta or current_meta,
            events=None if events is None or events == "login" else {*events, *_login_events(events)},
        )
        self.db = db
        self.bind_key = bind_key
        self.enabled = enabled
        # Engines are told apart by their dialect, which their copies share.
        self._apps: WeakKeyDictionary[Flask, Dialect] = WeakKeyDictionary()
        self._dialects: WeakSet[Dialect] = WeakSet()
        self._receivers = connect(self._record_login) if events is not None and "login" in events else []
        # The engines of an app exist once db.init_app(app) was called, and can be had in its context only.
        appcontext_pushed.connect(self._attach_engine)
        if has_app_context():
            self._attach_engine(current_app._get_current_object())  # type: ignore[attr-defined]

    def init_page(
        self,
        app: Flask,
        url_prefix: str = "/audit",
        *,
        access: Callable[[], bool],
        allow_undo: Callable[[], bool] | None = None,
        log_reads: bool = False,
        actor_name: Callable[[Any], str | None] | None = None,
        record_name: Callable[[Any], str | None] | None = None,
        table_name: Callable[[str], str | tuple[str, str] | None] | None = None,
        login_url: str | Callable[[], str] | None = None,
        statement_timeout: dt.timedelta = dt.timedelta(seconds=10),
        timezone: str | Callable[[], str | None] | None = None,
    ) -> None:
        """Show the trail in a browser: a blueprint of server-rendered pages, without JavaScript.

        Each view answers JSON, too, to who accepts it. Each function is called within each request and may use
        ``current_user``. Refused requests get 403 and are logged. Templates of the app get ``history_of(obj)`` and
        ``render_history(obj)``.

        :param access: tells whether the visitor may see the page.
        :param allow_undo: tells whether the visitor may take changes back; None for nobody.
        :param log_reads: record each view as an activity ``read``.
        :param actor_name: returns what to call an actor, given as an object of ``actor_cls``; ``str()`` by default
            if the class defines it, else its name, username or email.
        :param record_name: returns what to call a record, given as an object of its model; ``str()`` by default
            if the class defines it, else its title or name.
        :param table_name: returns what to call a row of a table, given the table's name, or a pair of that and of
            what to call several; the words of the model's name by default.
        :param login_url: where one logs in, or a function that returns it, for the page that refuses a visitor.
        :param statement_timeout: how long the database may take for a statement of the page.
        :param timezone: the zone of the times, a name such as ``Europe/Vienna``, or a function that returns that of the
            reader; UTC if None.
        :raises ConfigurationError: if the app has this page already, or an argument that should be a function is
            something else.
        """
        init_page(
            self,
            self.db,
            self.bind_key,
            app,
            url_prefix,
            rules=Access(access, allow_undo, login_url),
            naming=Naming(actor_name, record_name, table_name),
            zones=Zones(timezone),
            log_reads=log_reads,
            statement_timeout=statement_timeout,
        )

    def close(self) -> None:
        """Stop sending the context: detach from every engine, and from apps that come later."""
        self._receivers.clear()
        appcontext_pushed.disconnect(self._attach_engine)
        for app in list(self._apps):
            with app.app_context():
                self.detach(self.db.engines[self.bind_key])
        self._apps.clear()

    def process_revision_directives(self, context: Any, revision: Any, directives: list[Any]) -> None:
        """Write no migration when nothing changed, as Flask-Migrate's ``env.py`` does without this hook."""
        process_revision_directives(context, revision, directives, engines=len(self.db.engines))

    def _attach_engine(self, app: Flask, **_: Any) -> None:
        if app in self._apps or app.extensions.get("sqlalchemy") is not self.db:
            return
        engine = self.db.engines.get(self.bind_key)
        if engine is not None and not (self.enabled and app.config.get("AUDIT_LOG_ENABLED", True)):
            leave_unattached(engine)
            return
        # Another database has no trail that could name an actor; its migrations are refused.
        if engine is not None and engine.dialect.name == "postgresql":
            self.attach(engine)
            self._apps[app] = engine.dialect
            self._dialects.add(engine.dialect)

    def _record_login(self, app: Flask, name: str, user: Any) -> None:
        """Record what a signal says, in a transaction of its own: what fails is rolled back, and this has to stay."""
        if app not in self._apps:
            return
        state = None if user is None else inspect(user, raiseerr=False)
        known = {"actor_id": state.identity[0]} if state is not None and state.identity else {}
        with audit_context(**known), self.db.engines[self.bind_key].begin() as connection:
            self.record_event(connection, name, target=user if known else None)

    def _resolvers(self, dialect: Dialect) -> Resolvers:
        """Ask nobody while another app than that of the engine is the current one: its user is not an actor here."""
        if dialect in self._dialects and has_app_context():
            app = current_app._get_current_object()  # type: ignore[attr-defined]
            if self._apps.get(app) is not dialect:
                return Resolvers()
        return super()._resolvers(dialect)


def _login_events(events: Collection[str]) -> tuple[str, ...]:
    if isinstance(events, str):
        raise ConfigurationError(f"events is {events!r}; make it 'login', or a list of names.")
    return LOGIN_EVENTS if "login" in events else ()
