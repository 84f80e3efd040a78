"""The server's process: `start server` lasts from the process' birth until it serves."""

from __future__ import annotations

import functools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.jupyter_server import cells
from af_otel_instrumentation.jupyter_server._hooks import Hooks
from af_otel_instrumentation.jupyter_server._quietly import quietly
from af_otel_instrumentation.jupyter_server.environment import Origin
from af_otel_instrumentation.jupyter_server.kernels import KernelTracer
from af_otel_semconv import attributes as attr
from af_otel_semconv import spans
from opentelemetry import metrics, trace
from opentelemetry.trace import StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from jupyter_server.serverapp import ServerApp

_IMPORTED = time.time_ns()
_hooks = Hooks()
_cells: cells.CellTracer | None = None  # of the first server here, and of those that follow it


def instrument(
    tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
) -> None:
    """Wrap `ServerApp.initialize`, which every way to start a server goes through."""
    from jupyter_server.serverapp import ServerApp

    if _hooks:
        return

    def wrap(original: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(original)
        def initialize(app: ServerApp, *args: Any, **kwargs: Any) -> None:
            start = _begin(
                tracer_provider or trace.get_tracer_provider(),
                meter_provider or metrics.get_meter_provider(),
            )
            try:
                original(app, *args, **kwargs)
            except BaseException as error:
                if start is not None:
                    start.failed(error)
                raise
            if start is not None:
                start.initialized(app)

        return initialize

    _hooks.wrap(ServerApp, "initialize", wrap)


def uninstrument() -> None:
    """Restore the methods."""
    global _cells  # noqa: PLW0603
    _hooks.unwrap()
    _cells = None


@quietly
def _begin(tracer_provider: TracerProvider, meter_provider: MeterProvider) -> _Start:
    return _Start(tracer_provider, meter_provider)


class _Start:
    """The start of a server."""

    def __init__(self, tracer_provider: TracerProvider, meter_provider: MeterProvider) -> None:
        self._providers = tracer_provider, meter_provider
        self._origin = Origin.of_environment()
        self._tracer = tracer_provider.get_tracer("af_otel_instrumentation.jupyter_server.server")

    @quietly
    def initialized(self, app: ServerApp) -> None:
        """Trace what passes through the server from now on, and its start until it serves."""
        settings = getattr(getattr(app, "web_app", None), "settings", None)
        if settings is None:
            return  # a subcommand such as `jupyter server list`
        span = self._span()
        # The socket is bound by a callback that is in the loop's queue already.
        app.io_loop.add_callback(span.end)
        global _cells  # noqa: PLW0603
        if _cells is None:
            origin = self._origin.started_as(span)
            _cells = cells.CellTracer(origin, *self._providers)
            KernelTracer(origin, _cells, *self._providers).install(_hooks)
        # Whatever configuration or an extension has put there: it is subclassed.
        key = "kernel_websocket_connection_class"
        settings[key] = cells.traced_connection(settings[key], _cells)

    @quietly
    def failed(self, error: BaseException) -> None:
        """Tell of a server that never came up; one that was asked for its help text did well."""
        if isinstance(error, SystemExit) and not error.code:
            return
        span = self._span()
        span.set_attribute(attr.ERROR_TYPE, type(error).__name__)
        span.set_status(StatusCode.ERROR)
        span.end()

    def _span(self) -> trace.Span:
        return self._tracer.start_span(
            spans.START_SERVER, context=self._origin.parent, start_time=process_start()
        )


def process_start() -> int:
    """Return when this process was born, in nanoseconds since the epoch.

    Where /proc does not tell, this module's import must do.
    """
    try:
        # Field 22 of proc_pid_stat(5); the second is a name, perhaps with spaces and parentheses.
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        since_boot = int(fields[22 - 3]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED
    return time.time_ns() - int(age * 1e9) if age >= 0 else _IMPORTED
