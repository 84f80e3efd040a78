"""For `opentelemetry-instrument`, which finds it by its entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_instrumentation import jupyter_server
from opentelemetry.instrumentation.instrumentor import (  # type: ignore[attr-defined]
    BaseInstrumentor,
)

if TYPE_CHECKING:
    from collections.abc import Collection


class JupyterServerInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """The instrumentation of Jupyter Server as OpenTelemetry's tools drive it."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the range of jupyter-server that is supported."""
        return jupyter_server.SUPPORTS

    def _instrument(self, **kwargs: Any) -> None:
        jupyter_server.instrument(
            tracer_provider=kwargs.get("tracer_provider"),
            meter_provider=kwargs.get("meter_provider"),
        )

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ARG002
        jupyter_server.uninstrument()
