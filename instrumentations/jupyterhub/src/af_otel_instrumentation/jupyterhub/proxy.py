"""Trace a new server's way into the proxy, the last step before its user reaches it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes, spans
from opentelemetry import context, trace

from ._patch import Patches, quiet

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

    from .session import Session, Sessions


class Routes:
    """`add route`, a child of `spawn server` that follows when that has ended."""

    def __init__(self, sessions: Sessions, tracer_provider: TracerProvider | None) -> None:
        self._sessions = sessions
        self._tracer_provider = tracer_provider

    @cached_property
    def _tracer(self) -> Tracer:
        return trace.get_tracer(
            "af_otel_instrumentation.jupyterhub.proxy", tracer_provider=self._tracer_provider
        )

    def prepare(self) -> None:
        """Make the tracer before it is needed."""
        _ = self._tracer

    def install(self, patches: Patches) -> None:
        """Follow `Proxy.add_user`: routes of the hub and of services go other ways."""
        from jupyterhub.proxy import Proxy

        expected, begin, finish = quiet(self._expected), quiet(self._begin), quiet(_finish)

        async def add_user(original: Any, proxy: Any, user: Any, *args: Any, **kwargs: Any) -> Any:
            session = expected(user, kwargs.get("server_name", args[0] if args else ""))
            span = None if session is None else begin(session)
            if session is None or span is None:
                return await original(proxy, user, *args, **kwargs)
            token = context.attach(trace.set_span_in_context(span, session.context))
            try:
                result = await original(proxy, user, *args, **kwargs)
            except BaseException as error:
                finish(session, span, error)
                raise
            else:
                finish(session, span, None)
                return result
            finally:
                context.detach(token)

        patches.wrap(Proxy, "add_user", add_user)

    def _expected(self, user: Any, server_name: str) -> Session | None:
        session = self._sessions.find(user, server_name)
        # A route that the hub mends hours later is no part of the spawn.
        if session is None or session.context is None or session.routed:
            return None
        return session

    def _begin(self, session: Session) -> Span:
        return self._tracer.start_span(
            spans.ADD_ROUTE, context=session.context, attributes=session.identity
        )


def _finish(session: Session, span: Span, error: BaseException | None) -> None:
    if error is None:
        session.routed = True
    elif isinstance(error, Exception):
        # The hub stops a server that nobody can reach.
        session.failed = True
        span.set_status(trace.StatusCode.ERROR)
        span.set_attribute(attributes.ERROR_TYPE, type(error).__name__)
    span.end()
