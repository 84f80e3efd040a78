"""What the process that started this one handed down: its span and its baggage, W3C formats."""

from __future__ import annotations

import os
from typing import NamedTuple

from af_otel_semconv import carriers
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# Between our own processes it is always W3C, whatever OTEL_PROPAGATORS says of the world outside.
TRACE = TraceContextTextMapPropagator()
BAGGAGE = W3CBaggagePropagator()
_KEYS = (carriers.ENV_TRACEPARENT, carriers.ENV_TRACESTATE, carriers.ENV_BAGGAGE)


class Origin(NamedTuple):
    """Where this process comes from."""

    context: Context  # baggage, and no span: what starts in it is a root
    links: tuple[Link, ...]  # to the span that started this process, if there is one

    @classmethod
    def of_environment(cls) -> Origin:
        """Read this process' environment.

        What a cell starts (`!python`) belongs to the session, but not to the trace of the kernel's
        start: the baggage stays in the environment, the span does not.
        """
        carrier = {key.lower(): os.environ[key] for key in _KEYS if key in os.environ}
        context = TRACE.extract(carrier, BAGGAGE.extract(carrier, Context()))
        for key in (carriers.ENV_TRACEPARENT, carriers.ENV_TRACESTATE):
            os.environ.pop(key, None)
        span = trace.get_current_span(context).get_span_context()
        return cls(
            context=trace.set_span_in_context(trace.INVALID_SPAN, context),
            links=(Link(span),) if span.is_valid else (),
        )
