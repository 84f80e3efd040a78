"""Spans of the requests that matter; all others are metrics only.

Known when it begins: whether a request changes a server, a kernel or a file, logs a user in, or
carries a trace's context. Its span is current while it is served. That it failed or was slow is
known at its end; its span is then made with the times that it had.
"""

from __future__ import annotations

import os
import re
import time
from functools import cached_property
from typing import TYPE_CHECKING

from af_otel_semconv import attributes
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from af_otel_instrumentation.http._requests import Endpoint
    from opentelemetry.trace import Span, Tracer, TracerProvider

# Seconds after which a request is slow.
ENV_SLOW = "AF_OTEL_SLOW_REQUEST"
SLOW = 1.0
_SERVER_ERROR = 500

_LOGIN = re.compile(r"/(?:oauth_)?(?:login|callback)(?:/|$)|/oauth2/(?:authorize|token)$")
# Reading these is what JupyterLab does every few seconds.
_CHANGES = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_CHANGED = re.compile(
    r"^/hub/spawn(?:/|$)|^/hub/api/users/\{\}/servers?(?:/\{\})?$"
    r"|^/api/(?:contents|kernels|sessions)\b"
    # Not a cluster's heartbeats.
    r"|^/api/v1/clusters/(?:\{cluster_name\}(?:/(?:scale|adapt))?)?$"
)
# Streams of events, which last as long as a spawn does.
_STREAM = re.compile(r"/progress$")
# Between a facility's processes it is always W3C, whatever OTEL_PROPAGATORS says of the others.
_PROPAGATOR = TraceContextTextMapPropagator()


def slow_after() -> float:
    """Return the seconds after which a request is slow."""
    try:
        seconds = float(os.environ.get(ENV_SLOW, ""))
    except ValueError:
        return SLOW
    return seconds if seconds >= 0 else SLOW


class Spans:
    """Makes the spans of requests."""

    def __init__(self, tracer_provider: TracerProvider | None) -> None:
        self._tracer_provider = tracer_provider
        self._slow = slow_after()
        self._wanted: dict[Endpoint, tuple[bool, float]] = {}

    @cached_property
    def _tracer(self) -> Tracer:
        return trace.get_tracer(
            "af_otel_instrumentation.http.server", tracer_provider=self._tracer_provider
        )

    def prepare(self) -> None:
        """Make the tracer before it is needed."""
        _ = self._tracer

    def begin(self, endpoint: Endpoint, carried: str | None) -> Span | None:
        """Start the span of a request that has one whatever becomes of it.

        Parameters
        ----------
        endpoint
            What is requested.
        carried
            The request's `traceparent`.
        """
        always = self._judge(endpoint)[0]
        if carried is None:
            return self._start(endpoint, Context(), None) if always else None
        parent = _PROPAGATOR.extract({"traceparent": carried}, Context())
        return self._start(endpoint, parent, None) if parent or always else None

    def ended(
        self, span: Span | None, endpoint: Endpoint, seconds: float, found: dict[str, str | int]
    ) -> None:
        """End the span of a request; make one if it failed or was slow."""
        failed = attributes.ERROR_TYPE in found
        if span is None:
            if not failed and seconds < self._judge(endpoint)[1]:
                return
            span = self._start(endpoint, Context(), time.time_ns() - int(seconds * 1e9))
        span.set_attributes(found)
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end()

    def _judge(self, endpoint: Endpoint) -> tuple[bool, float]:
        """Return whether all requests of an endpoint have spans, and when they are slow."""
        found = self._wanted.get(endpoint)
        if found is None:
            always = bool(_LOGIN.search(endpoint.route)) or (
                endpoint.method in _CHANGES and bool(_CHANGED.search(endpoint.route))
            )
            slow = float("inf") if _STREAM.search(endpoint.route) else self._slow
            found = self._wanted[endpoint] = always, slow
        return found

    def _start(self, endpoint: Endpoint, parent: Context, start: int | None) -> Span:
        return self._tracer.start_span(
            endpoint.name,
            context=parent,
            kind=SpanKind.SERVER,
            attributes=endpoint.attributes,
            start_time=start,
        )
