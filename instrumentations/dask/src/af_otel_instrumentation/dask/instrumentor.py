"""The entry point of `opentelemetry-instrument`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask import SUPPORTS, instrument, uninstrument
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

if TYPE_CHECKING:
    from collections.abc import Collection


class DaskInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """Instrument Dask with the providers given, or the global ones."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the versions of the host that this serves."""
        return SUPPORTS

    def _instrument(self, **kwargs: Any) -> None:
        instrument(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002
        uninstrument()
