"""Carry the caller's context to the scheduler, as an annotation of what it submits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask._hooks import complain
from af_otel_semconv.carriers import DASK_ANNOTATION
from distributed.client import Client
from opentelemetry import propagate

import dask

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel_instrumentation.dask._hooks import Hooks


def hook(hooks: Hooks) -> None:
    """Annotate every graph that a client submits.

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

    hooks.wrap(Client, "_graph_to_futures", make)
