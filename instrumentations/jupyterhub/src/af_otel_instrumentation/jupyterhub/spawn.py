"""Trace a spawn from the user's wish to the server's answer; one its user cancels is no error."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes, spans
from af_otel_semconv import metrics as names
from opentelemetry import baggage, context, metrics, trace

from . import identity
from ._labels import Bounded, image, slug
from ._patch import Patches, quiet
from .pods import Pods
from .session import Session, Sessions, with_session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.metrics import Histogram, MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

OK = "ok"
ERROR = "error"
TIMEOUT = "timeout"
CANCELLED = "cancelled"
# The server was gone when the hub gave up waiting for it; the hub's own metric has the same word.
EXITED = "exited"

_REASON = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


class Spawns:
    """Spans and durations of spawns."""

    def __init__(
        self,
        sessions: Sessions,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
    ) -> None:
        self._sessions = sessions
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._profile = Bounded(names.MAX_PROFILES)
        self._image = Bounded(names.MAX_IMAGES)
        self._error_type = Bounded(names.MAX_ERROR_TYPES)

    @cached_property
    def _tracer(self) -> Tracer:
        return trace.get_tracer(
            "af_otel_instrumentation.jupyterhub.spawn", tracer_provider=self._tracer_provider
        )

    @cached_property
    def _duration(self) -> Histogram:
        meter = metrics.get_meter(
            "af_otel_instrumentation.jupyterhub.spawn", meter_provider=self._meter_provider
        )
        return meter.create_histogram(**names.SPAWN_DURATION.histogram)

    def prepare(self) -> None:
        """Make tracer and instruments before they are needed."""
        _ = self._tracer, self._duration

    def install(self, patches: Patches) -> None:
        """Follow `User.spawn`, and keep its context out of the loops that it starts."""
        from jupyterhub.spawner import Spawner
        from jupyterhub.user import User

        begin, finish = quiet(self._begin), quiet(self._finish)
        adopt = quiet(self._sessions.adopt)
        free = quiet(_Reflectors(patches).free)
        follow = quiet(Pods(self._sessions, patches).follow)

        async def spawn(original: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
            free()
            follow()
            session = begin(user, kwargs.get("server_name", args[0] if args else ""))
            if session is None or session.context is None:
                return await original(user, *args, **kwargs)
            token = context.attach(session.context)
            try:
                result = await original(user, *args, **kwargs)
            except BaseException as error:
                finish(user, session, error)
                raise
            else:
                finish(user, session, None)
                return result
            finally:
                context.detach(token)

        def start_polling(original: Any, spawner: Any, *args: Any, **kwargs: Any) -> Any:
            adopt(spawner)
            # The loop polls for days and would keep the ended spawn as its current span.
            with _detached():
                return original(spawner, *args, **kwargs)

        patches.wrap(User, "spawn", spawn)
        patches.wrap(Spawner, "start_polling", start_polling)

    def _begin(self, user: Any, server_name: str) -> Session:
        request = trace.get_current_span()
        who = {attributes.SESSION_ID: identity.new_session_id()}
        pseudonym = identity.user_hash(user)
        if pseudonym is not None:
            who[attributes.USER_HASH] = pseudonym
        # The request that asks for the server is a trace of its own: so it is found by the session.
        request.set_attributes(who)
        asked = request.get_span_context()
        # What a request brings as baggage is its sender's word: none of it goes on to the server.
        base = trace.set_span_in_context(trace.INVALID_SPAN, baggage.clear(context.get_current()))
        for name, value in who.items():
            base = baggage.set_baggage(name, value, base)
        span = self._tracer.start_span(
            spans.SPAWN_SERVER,
            context=base,
            links=[trace.Link(asked)] if asked.is_valid else None,
            attributes={
                **who,
                attributes.SPAWNER_CLASS: user.spawner_class.__name__,
                attributes.SERVER_NAMED: bool(server_name),
            },
        )
        session = Session((user.id, server_name), time.monotonic(), span, identity=who)
        session.context = with_session(session, trace.set_span_in_context(span, base))
        self._sessions.begin(session)
        return session

    def _finish(self, user: Any, session: Session, error: BaseException | None) -> None:
        assert session.span is not None
        assert session.began is not None
        try:
            if error is None:
                self._sessions.started(session)
            else:
                self._sessions.forget(session)
            found = self._outcome(session, error)
            profile = self._profile_of(user, session)
            if profile is not None:
                found[attributes.SPAWN_PROFILE] = profile
            chosen = self._image_of(user, session)
            if chosen is not None:
                found[attributes.SPAWN_IMAGE] = chosen
            self._duration.record(time.monotonic() - session.began, found)
            session.span.set_attributes(found)
            if found[attributes.SPAWN_OUTCOME] in {ERROR, TIMEOUT}:
                session.span.set_status(trace.StatusCode.ERROR)
        finally:
            session.span.end()

    def _outcome(self, session: Session, error: BaseException | None) -> dict[str, str]:
        if error is None:
            return {attributes.SPAWN_OUTCOME: OK}
        if not isinstance(error, Exception):
            # asyncio's CancelledError: the user changed their mind, or the hub goes down.
            return {attributes.SPAWN_OUTCOME: CANCELLED}
        timeout = isinstance(error, (TimeoutError, asyncio.TimeoutError))
        if timeout and session.exited:
            outcome, kind = ERROR, EXITED
        elif timeout:
            outcome, kind = TIMEOUT, TIMEOUT
        else:
            outcome, kind = ERROR, _reason(error) or type(error).__name__
        return {
            attributes.SPAWN_OUTCOME: outcome,
            attributes.ERROR_TYPE: self._error_type(kind),
        }

    def _profile_of(self, user: Any, session: Session) -> str | None:
        # From the database: within a spawn the hub may replace the spawner object.
        stored = user.orm_spawners.get(session.key[1])
        options = None if stored is None else stored.user_options
        profile = slug(options.get("profile")) if isinstance(options, dict) else None
        return None if profile is None else self._profile(profile)

    def _image_of(self, user: Any, session: Session) -> str | None:
        # Of spawners with containers; by now with what the profile says. Not by `[]`, which makes
        # a spawner where there is none.
        chosen = image(getattr(user.spawners.get(session.key[1]), "image", None))
        return None if chosen is None else self._image(chosen)


def _reason(error: Exception) -> str | None:
    """Return the label that a SpawnException (JupyterHub 6) carries for metrics, if it is one."""
    from jupyterhub import spawner

    labelled = getattr(spawner, "SpawnException", None)
    if labelled is None or not isinstance(error, labelled):
        return None
    reason = getattr(error, "reason", None)
    return reason if isinstance(reason, str) and _REASON.fullmatch(reason) else None


class _Reflectors:
    """KubeSpawner's watches: the first spawn starts them, and they run as long as the hub."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches
        self._free = False

    def free(self) -> None:
        """Keep spawns' contexts out of them, once KubeSpawner is there."""
        module = sys.modules.get("kubespawner.reflector")
        if self._free or module is None:
            return
        self._free = True

        async def start(original: Any, *args: Any, **kwargs: Any) -> Any:
            with _detached():
                return await original(*args, **kwargs)

        self._patches.wrap(module.ResourceReflector, "start", start)


@contextmanager
def _detached() -> Iterator[None]:
    token = context.attach(context.Context())
    try:
        yield
    finally:
        context.detach(token)
