"""Carry the caller's context to the scheduler, as an annotation of what it submits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask._hooks import complain, harmless
from af_otel_semconv.carriers import DASK_ANNOTATION
from distributed.client import Client
from opentelemetry import propagate, trace

import dask

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel_instrumentation.dask._hooks import Hooks
    from opentelemetry.trace import TracerProvider


def hook(hooks: Hooks, tracer_provider: TracerProvider | None) -> None:
    """Annotate every graph that a client submits.

    A tracer is asked for when a client is made, and not used: a provider that loads when it is
    needed does so then, and what a script traces itself around its computations is seen.

    `_graph_to_futures` is where submit, map, compute, persist and get meet, still in the caller's
    thread and context.
    """

    def make(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def _graph_to_futures(self: Any, *args: Any, **kwargs: Any) -> Any:
            carrier: dict[str, str] = {}
            if hooks.active:
                try:
                    propagate.inject(carrier)
                except Exception:
                    complain("Client._graph_to_futures")
            if not carrier:
                return wrapped(self, *args, **kwargs)
            # Only around the submission: layers built under an annotation are not fused.
            with dask.annotate(**{DASK_ANNOTATION: carrier}):
                return wrapped(self, *args, **kwargs)

        return _graph_to_futures

    def make_init(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            if hooks.active:
                with harmless("Client.__init__"):
                    trace.get_tracer(__name__, tracer_provider=tracer_provider)
            wrapped(self, *args, **kwargs)

        return __init__

    hooks.wrap(Client, "__init__", make_init)
    hooks.wrap(Client, "_graph_to_futures", make)
