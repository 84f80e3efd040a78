"""Carry the caller's context to the scheduler, in the message that submits a graph."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask._hooks import complain, harmless
from af_otel_semconv.attributes import SESSION_ID
from af_otel_semconv.carriers import DASK_ANNOTATION, ENV_BAGGAGE
from distributed.client import Client
from distributed.protocol import ToPickle
from opentelemetry import baggage, context, propagate, trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from af_otel_instrumentation.dask._hooks import Hooks
    from opentelemetry.context import Context
    from opentelemetry.trace import TracerProvider


def hook(hooks: Hooks, tracer_provider: TracerProvider | None) -> None:
    """Add the context to every graph that a client submits.

    A tracer is asked for when a client is made, and not used: a provider that loads when it is
    needed does so then, and what a script traces itself around its computations is seen.

    submit, map, compute, persist and get all send an `update-graph`, in the caller's thread and
    context. `dask.annotate` would reach the layers that are made meanwhile, which the user sees.
    """
    # Threads of the user's and callbacks of widgets run outside of any cell, and know no session.
    # Read once: what cannot be read is said each time.
    environment = {"baggage": os.environ.get(ENV_BAGGAGE, "")}
    inherited = baggage.get_all(propagate.extract(environment, context.Context()))

    def make(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def _send_to_scheduler(self: Any, msg: Any) -> Any:
            if hooks.active and msg.get("op") == "update-graph":
                try:
                    carrier: dict[str, str] = {}
                    propagate.inject(carrier, _context(inherited))
                    if carrier:
                        annotations = {**msg["annotations"].data, DASK_ANNOTATION: carrier}
                        msg = {**msg, "annotations": ToPickle(annotations)}
                except Exception:
                    complain("Client._send_to_scheduler")
            return wrapped(self, msg)

        return _send_to_scheduler

    def make_init(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            if hooks.active:
                with harmless("Client.__init__"):
                    trace.get_tracer(
                        "af_otel_instrumentation.dask.client", tracer_provider=tracer_provider
                    )
            wrapped(self, *args, **kwargs)

        return __init__

    hooks.wrap(Client, "__init__", make_init)
    hooks.wrap(Client, "_send_to_scheduler", make)


def _context(inherited: Mapping[str, object]) -> Context:
    """Return the current context, with the inherited baggage where it names no session."""
    current = context.get_current()
    if baggage.get_baggage(SESSION_ID, current):
        return current
    for name, value in inherited.items():
        current = baggage.set_baggage(name, value, current)
    return current
