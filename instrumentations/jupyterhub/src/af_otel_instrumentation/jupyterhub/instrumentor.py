"""For `opentelemetry-instrument`: JupyterHub's hub without anything else of af-otel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

from . import SUPPORTS, instrument, uninstrument

if TYPE_CHECKING:
    from collections.abc import Collection


class JupyterHubInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Takes `tracer_provider` and `meter_provider`; else the global ones serve."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Versions that this serves."""
        return SUPPORTS

    def _instrument(self, **kwargs: Any) -> None:
        instrument(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002 - the base class's signature
        uninstrument()
