"""The kernel's process: cells are traced from the end of its set-up on.

Not earlier: `exec_lines` and startup files run by the same events, and are nobody's cells.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.ipykernel._quietly import quietly
from af_otel_instrumentation.ipykernel.shell import CellTracer
from opentelemetry import metrics, trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ipykernel.kernelapp import IPKernelApp

_original: Callable[..., None] | None = None
_tracers: list[CellTracer] = []


def instrument(
    tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
) -> None:
    """Wrap `IPKernelApp.initialize`; a second call changes nothing."""
    from ipykernel.kernelapp import IPKernelApp

    global _original  # noqa: PLW0603
    if _original is not None:
        return
    original = _original = IPKernelApp.initialize

    @quietly
    def attach(app: IPKernelApp) -> None:
        shell, kernel = getattr(app, "shell", None), getattr(app, "kernel", None)
        if shell is None or kernel is None:
            return  # a subcommand such as `install`
        tracers = tracer_provider or trace.get_tracer_provider()
        meters = meter_provider or metrics.get_meter_provider()
        _tracers.append(CellTracer(shell, kernel, tracers, meters))

    @functools.wraps(original)
    def initialize(self: IPKernelApp, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        attach(self)

    IPKernelApp.initialize = initialize
    if IPKernelApp.initialized():
        attach(IPKernelApp.instance())


def uninstrument() -> None:
    """Restore the method and take our callbacks off the shells."""
    from ipykernel.kernelapp import IPKernelApp

    global _original
    if _original is None:
        return
    IPKernelApp.initialize, _original = _original, None
    while _tracers:
        _tracers.pop().detach()
