"""For `opentelemetry-instrument`, which finds it by its entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_instrumentation import http
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

if TYPE_CHECKING:
    from collections.abc import Collection


class HttpInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """The instrumentation of HTTP as OpenTelemetry's tools drive it."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the range of Tornado that is supported."""
        return http.SUPPORTS

    def _instrument(self, **kwargs: Any) -> None:
        http.instrument(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002
        http.uninstrument()
