"""A user's server from spawn to end: counted while it runs, timed when it is over."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from af_otel_semconv import attributes
from af_otel_semconv import metrics as names
from opentelemetry import context, metrics
from opentelemetry.metrics import Observation

from ._patch import Patches, quiet

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, Histogram, MeterProvider
    from opentelemetry.trace import Span

USER = "user"
CULLED = "culled"
DIED = "died"
FAILED = "failed"
# The hub's own doing: it goes down, or its policy ends the server.
SHUTDOWN = "shutdown"

# Who is stopping servers in this task, and in those it starts.
_end_reason: ContextVar[str] = ContextVar("af_otel_end_reason", default=SHUTDOWN)
_CONTEXT_KEY = context.create_key("af-otel-session")

# User and server as the database has them: a spawner object may be replaced within a spawn.
Key = tuple[int, str]


@dataclass(eq=False)
class Session:
    """One server's life; `span` and `context` are missing where the hub found it running."""

    key: Key
    began: float | None  # time.monotonic(); None when the database does not know
    span: Span | None = None
    context: Context | None = None
    identity: dict[str, str] | None = None
    running: bool = False
    routed: bool = False
    failed: bool = False
    exited: bool = False


def current() -> Session | None:
    """Return the session whose spawn is running in this task."""
    found = context.get_value(_CONTEXT_KEY)
    return found if isinstance(found, Session) else None


def with_session(session: Session, base: Context) -> Context:
    """Return `base` with `session` as the one that `current` finds."""
    return context.set_value(_CONTEXT_KEY, session, base)


class Sessions:
    """The sessions of this hub; used on its event loop only."""

    def __init__(self, meter_provider: MeterProvider | None) -> None:
        self._meter_provider = meter_provider
        self._sessions: dict[Key, Session] = {}
        self._running = 0
        # By the id; one that is over is gone.
        self._named: WeakValueDictionary[str, Session] = WeakValueDictionary()

    @cached_property
    def _duration(self) -> Histogram:
        meter = metrics.get_meter(
            "af_otel_instrumentation.jupyterhub.session", meter_provider=self._meter_provider
        )
        # Observed, as what is added before the SDK is there is lost: a hub that restarts finds
        # its servers running.
        meter.create_observable_up_down_counter(
            callbacks=[self._observe_running], **names.SERVER_ACTIVE.plain
        )
        return meter.create_histogram(**names.SESSION_DURATION.histogram)

    def _observe_running(self, _options: CallbackOptions) -> list[Observation]:
        return [Observation(self._running)]

    def prepare(self) -> None:
        """Make the instruments before they are needed."""
        _ = self._duration

    def find(self, user: Any, server_name: str) -> Session | None:
        """Return the session of a user's server, if there is one."""
        return self._sessions.get((user.id, server_name))

    def find_for(self, spawner: Any) -> Session | None:
        """Return the session of a spawner's server, if there is one."""
        user = _user_of(spawner)
        return None if user is None else self.find(user, spawner.name)

    def begin(self, session: Session) -> None:
        """Know a session whose server is being spawned."""
        left = self._sessions.pop(session.key, None)
        if left is not None:
            # The hub spawns only what it knows not to run.
            self._end(left, DIED)
        self._sessions[session.key] = session
        if session.identity is not None:
            self._named[session.identity[attributes.SESSION_ID]] = session

    def attributes_of(self, session_id: str) -> dict[str, str]:
        """Return what identifies the session with this id; nothing if it is not known."""
        session = self._named.get(session_id)
        return {} if session is None else session.identity or {}

    def started(self, session: Session) -> None:
        """Count the server: its spawn came to a good end."""
        session.running = True
        self._running += 1

    def forget(self, session: Session) -> None:
        """Drop a session whose spawn failed: it never began."""
        if self._sessions.get(session.key) is session:
            del self._sessions[session.key]

    def adopt(self, spawner: Any) -> None:
        """Count a server that ran before the hub did; its trace belongs to the hub of then."""
        user = _user_of(spawner)
        if user is None or (user.id, spawner.name) in self._sessions:
            return
        began = None
        started = spawner.orm_spawner.started
        if started is not None:
            # The database keeps UTC without saying so.
            age = datetime.now(timezone.utc) - started.replace(tzinfo=timezone.utc)
            began = time.monotonic() - max(0.0, age.total_seconds())
        session = Session((user.id, spawner.name), began)
        self._sessions[session.key] = session
        self.started(session)

    def take(self, user: Any, server_name: str) -> Session | None:
        """Return the session that a stop ends and forget it; None while its spawn is under way."""
        session = self.find(user, server_name)
        if session is None or not session.running:
            return None
        del self._sessions[session.key]
        return session

    def _end(self, session: Session, reason: str) -> None:
        if not session.running:
            return
        session.running = False
        self._running -= 1
        if session.began is not None:
            self._duration.record(
                time.monotonic() - session.began,
                {attributes.SESSION_END_REASON: FAILED if session.failed else reason},
            )

    def install(self, patches: Patches) -> None:
        """Follow every way in which a server ends."""
        from jupyterhub.app import JupyterHub
        from jupyterhub.handlers.base import BaseHandler
        from jupyterhub.spawner import Spawner
        from jupyterhub.user import User

        take, end = quiet(self.take), quiet(self._end)
        watch = quiet(self._watch_exit)

        async def stop(original: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
            name = kwargs.get("server_name", args[0] if args else "")
            session = take(user, name)
            unwatch = watch(user, name) if session is None else None
            try:
                return await original(user, *args, **kwargs)
            finally:
                if session is not None:
                    end(session, _end_reason.get())
                if unwatch is not None:
                    unwatch()

        patches.wrap(User, "stop", stop)
        patches.wrap(Spawner, "poll_and_notify", _ending(lambda _: DIED))
        patches.wrap(BaseHandler, "stop_single_user", _ending(_requested))
        patches.wrap(JupyterHub, "cleanup", _ending(lambda _: SHUTDOWN))

    def _watch_exit(self, user: Any, server_name: str) -> Any:
        """Note whether a server that the hub gives up waiting for was gone already.

        The hub calls both a timeout and polls before it stops the server. To ask once more could
        cost a request of the spawner's, so this listens to that poll; later ones see the stop.
        """
        session = self.find(user, server_name)
        spawner = user.spawners.get(server_name)
        # Before its start is over, a local server is not there and polls as ended.
        if session is None or spawner is None or not spawner._waiting_for_response:
            return None
        poll = spawner.poll

        def unwatch() -> None:
            vars(spawner).pop("poll", None)

        async def noted(*args: Any, **kwargs: Any) -> Any:
            unwatch()
            status = await poll(*args, **kwargs)
            session.exited = status is not None
            return status

        spawner.poll = noted
        return unwatch


def _user_of(spawner: Any) -> Any:
    """Return None for the hub's managed services: spawners start them, too."""
    return spawner.user if hasattr(spawner.user, "orm_user") else None


def _ending(reason_of: Any) -> Any:
    reason = quiet(reason_of)

    async def around(original: Any, host: Any, *args: Any, **kwargs: Any) -> Any:
        token = _end_reason.set(reason(host) or SHUTDOWN)
        try:
            return await original(host, *args, **kwargs)
        finally:
            _end_reason.reset(token)

    return around


def _requested(handler: Any) -> str:
    """Tell the culler, a service with a token of its own, from people."""
    from jupyterhub.orm import Service as OrmService
    from jupyterhub.services.service import Service

    return CULLED if isinstance(handler.current_user, (Service, OrmService)) else USER
