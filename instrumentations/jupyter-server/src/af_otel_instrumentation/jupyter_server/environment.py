"""What the spawner handed down in the environment: its span and its baggage, W3C formats."""

from __future__ import annotations

import os
import uuid
from typing import NamedTuple

from af_otel_semconv import attributes as attr
from af_otel_semconv import carriers
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# Between our own processes it is always W3C, whatever OTEL_PROPAGATORS says of the world outside.
TRACE = TraceContextTextMapPropagator()
BAGGAGE = W3CBaggagePropagator()
_KEYS = (carriers.ENV_TRACEPARENT, carriers.ENV_TRACESTATE, carriers.ENV_BAGGAGE)


class Origin(NamedTuple):
    """Where this server comes from."""

    parent: Context  # the spawn's span, if there is one, and the session's baggage
    context: Context  # the baggage, and no span: what starts in it is a root
    links: tuple[Link, ...]  # to what the session's traces hang on

    @classmethod
    def of_environment(cls) -> Origin:
        """Read this process' environment; a session without an id gets one.

        What a user starts in a terminal belongs to the session, but not to the trace of its spawn:
        the baggage stays in the environment, the span does not.
        """
        carrier = {key.lower(): os.environ[key] for key in _KEYS if key in os.environ}
        parent = TRACE.extract(carrier, BAGGAGE.extract(carrier, Context()))
        if not baggage.get_baggage(attr.SESSION_ID, parent):
            parent = baggage.set_baggage(attr.SESSION_ID, uuid.uuid4().hex, parent)
        for key in _KEYS:
            os.environ.pop(key, None)
        carrier = {}
        BAGGAGE.inject(carrier, parent)
        os.environ[carriers.ENV_BAGGAGE] = carrier["baggage"]
        span = trace.get_current_span(parent).get_span_context()
        return cls(
            parent=parent,
            context=trace.set_span_in_context(trace.INVALID_SPAN, parent),
            links=(Link(span),) if span.is_valid else (),
        )

    def started_as(self, span: trace.Span) -> Origin:
        """Return the same with links to the server's own start where nobody spawned it."""
        own = span.get_span_context()
        if self.links or not own.is_valid:
            return self
        return self._replace(links=(Link(own),))


def inject_into_environment(environment: dict[str, str], context: Context) -> None:
    """Hand `context` down to a process that is started with `environment`."""
    carrier: dict[str, str] = {}
    TRACE.inject(carrier, context)
    BAGGAGE.inject(carrier, context)
    environment.update({key.upper().replace("-", "_"): carrier[key] for key in carrier})
