"""Runs of coffea processors as spans, and coffea's own report of each as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

SUPPORTS = ("coffea>=2025.7",)


def instrument(
    *,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Trace every `Runner.run` of this process."""
    from af_otel_instrumentation.coffea import runner

    runner.instrument(tracer_provider, meter_provider)


def uninstrument() -> None:
    """Leave coffea as `instrument` found it."""
    from af_otel_instrumentation.coffea import runner

    runner.uninstrument()
