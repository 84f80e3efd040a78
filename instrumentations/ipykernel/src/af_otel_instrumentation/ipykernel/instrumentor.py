"""For `opentelemetry-instrument`, which finds it by its entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_instrumentation import ipykernel
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

if TYPE_CHECKING:
    from collections.abc import Collection


class IPyKernelInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """The instrumentation of ipykernel as OpenTelemetry's tools drive it."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the range of ipykernel that is supported."""
        return ipykernel.SUPPORTS

    def _instrument(self, **kwargs: Any) -> None:
        ipykernel.instrument(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002
        ipykernel.uninstrument()
