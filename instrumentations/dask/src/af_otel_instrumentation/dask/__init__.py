"""Trace Dask computations from the submitting code to the workers, and count every task.

`instrument` hooks the classes of `distributed` that this process may make: clients carry the
current context to the scheduler, schedulers make a `compute graph` span of what arrives, workers
run tasks inside its context. It covers clusters and clients that are made afterwards.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from af_otel_instrumentation.dask._hooks import Hooks
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

SUPPORTS = ("distributed>=2024.12.1",)

_lock = threading.Lock()
_installed: Hooks | None = None


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Hook `distributed`; a second call changes nothing.

    Parameters
    ----------
    tracer_provider, meter_provider
        Asked for a tracer and a meter when a scheduler or worker is made; None is the global one.
    """
    global _installed  # noqa: PLW0603
    with _lock:
        if _installed is not None:
            return
        from af_otel_instrumentation.dask._hooks import Hooks, described, say

        hooks = Hooks()
        try:
            from af_otel_instrumentation.dask import _peer, client, scheduler, worker

            _peer.hook(hooks)
            client.hook(hooks, tracer_provider)
            scheduler.hook(hooks, tracer_provider, meter_provider)
            worker.hook(hooks, tracer_provider)
        except Exception as error:
            hooks.undo()
            say(f"Dask runs untraced: distributed is not as expected ({described(error)})")
            return
        _installed = hooks


def uninstrument() -> None:
    """Leave `distributed` as `instrument` found it; what is open ends as cancelled."""
    global _installed  # noqa: PLW0603
    with _lock:
        if _installed is not None:
            _installed.undo()
            _installed = None
