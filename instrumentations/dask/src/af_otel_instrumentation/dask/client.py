"""Carry the caller's context to the scheduler, in the message that submits a graph."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask._hooks import complain
from af_otel_instrumentation.dask._peer import is_traced
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

# Otherwise messages are kept until the connection is there.
_CONNECTED = frozenset({"running", "closing"})


def hook(hooks: Hooks, tracer_provider: TracerProvider | None) -> None:
    """Add the context to every graph that a client submits.

    A tracer is asked for when a client starts, and not used: a provider that loads when it is
    needed does so then, and what a script traces itself around its computations is seen.

    submit, map, compute, persist and get all have the event loop send an `update-graph`, in a copy
    of the caller's context and not below its stack: `distributed` records that as the user's code.
    `dask.annotate` would reach the layers that are made meanwhile, which the user sees.
    """
    # Threads of the user's and callbacks of widgets run outside of any cell, and know no session.
    # Read once: what cannot be read is said each time.
    environment = {"baggage": os.environ.get(ENV_BAGGAGE, "")}
    inherited = baggage.get_all(propagate.extract(environment, context.Context()))

    def make(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def _send_to_scheduler_safe(self: Any, msg: Any) -> Any:
            if hooks.active and msg.get("op") == "update-graph":
                try:
                    msg = _with_carrier(self, msg, inherited)
                except Exception:
                    complain("Client._send_to_scheduler_safe")
            return wrapped(self, msg)

        return _send_to_scheduler_safe

    def ask(*_args: Any, **_kwargs: Any) -> None:
        trace.get_tracer("af_otel_instrumentation.dask.client", tracer_provider=tracer_provider)

    hooks.before(Client, "_start", ask)
    hooks.wrap(Client, "_send_to_scheduler_safe", make)


def _with_carrier(client: Any, msg: Any, inherited: Mapping[str, object]) -> Any:
    """Return the message as this client's scheduler should have it."""
    annotations = msg["annotations"].data
    connected = client.status in _CONNECTED
    if connected and not is_traced(client.scheduler_comm.comm):
        if DASK_ANNOTATION not in annotations:
            return msg
        annotations = {**annotations}
        del annotations[DASK_ANNOTATION]
    elif DASK_ANNOTATION in annotations:  # it waited for the connection
        return msg
    else:
        carrier: dict[str, str] = {}
        propagate.inject(carrier, _context(inherited))
        if not carrier:
            return msg
        annotations = {**annotations, DASK_ANNOTATION: carrier}
    return {**msg, "annotations": ToPickle(annotations)}


def _context(inherited: Mapping[str, object]) -> Context:
    """Return the current context, with the inherited baggage where it names no session."""
    current = context.get_current()
    if baggage.get_baggage(SESSION_ID, current):
        return current
    for name, value in inherited.items():
        current = baggage.set_baggage(name, value, current)
    return current
