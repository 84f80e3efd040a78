"""Jupyter Server as spans: its own start, its kernels, and the cells that pass through it.

`start server` is the child of the spawn that the environment names (`TRACEPARENT`, `BAGGAGE`).
`start kernel`, `kernel died` and `execute cell` are traces of their own, linked to that spawn and
with its baggage; a server that nobody spawned mints the session's id and links them to its start.
Context goes on to kernels in their environment and, per cell, in the request's metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

SUPPORTS = ("jupyter-server>=2.15",)


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Trace the server that this process will start; a second call changes nothing."""
    from af_otel_instrumentation.jupyter_server import server

    server.instrument(tracer_provider, meter_provider)


def uninstrument() -> None:
    """Leave Jupyter Server as `instrument` found it; one that runs already stays traced."""
    from af_otel_instrumentation.jupyter_server import server

    server.uninstrument()
