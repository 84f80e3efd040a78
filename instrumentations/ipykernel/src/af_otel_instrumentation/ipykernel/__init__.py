"""Cells of an IPython kernel as spans: `run cell`, current while the user's code runs.

Its parent is what the front end's server put into the request's metadata (`traceparent`,
`baggage`). Requests without it, nbclient's or a console's, become traces of their own, linked to
the `TRACEPARENT` of the kernel's environment and with its `BAGGAGE`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

SUPPORTS = ("ipykernel>=6.31",)


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Trace the cells of this process' kernel, also of one that runs already."""
    from af_otel_instrumentation.ipykernel import app

    app.instrument(tracer_provider, meter_provider)


def uninstrument() -> None:
    """Leave the kernel as `instrument` found it."""
    from af_otel_instrumentation.ipykernel import app

    app.uninstrument()
