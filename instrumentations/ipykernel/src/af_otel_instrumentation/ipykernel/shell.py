"""Cells by IPython's events `pre_run_cell` and `post_run_cell`.

A cell with `await` runs in a task of its own: its end is told outside of it, where the context that
its begin has attached is not. So nothing is detached there, and the span is found by its thread: a
thread (the main one, or a subshell's) runs one cell at a time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from af_otel_instrumentation.ipykernel._interrupts import completed
from af_otel_instrumentation.ipykernel._quietly import quietly
from af_otel_instrumentation.ipykernel.environment import BAGGAGE, TRACE, Origin
from af_otel_semconv import attributes as attr
from af_otel_semconv import metrics as names
from af_otel_semconv import spans
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode

if TYPE_CHECKING:
    from contextvars import Token

    from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from ipykernel.kernelbase import Kernel

# Not the function itself, which freezegun replaces in every module that has it.
_perf_counter = partial(time.perf_counter)

OK = "ok"
ERROR = "error"
INTERRUPTED = "interrupted"


class _Cell(NamedTuple):
    """A cell that runs."""

    info: ExecutionInfo
    message: str
    span: Span
    begun: float
    context: Context
    token: Token[Context]


class CellTracer:
    """Makes a span of each cell that a person runs in one shell."""

    def __init__(
        self,
        shell: InteractiveShell,
        kernel: Kernel,
        tracer_provider: TracerProvider,
        meter_provider: MeterProvider,
    ) -> None:
        self._shell = shell
        self._kernel = kernel
        self._origin = Origin.of_environment()
        self._tracer = tracer_provider.get_tracer("af_otel_instrumentation.ipykernel.shell")
        self._duration = meter_provider.get_meter(
            "af_otel_instrumentation.ipykernel.shell"
        ).create_histogram(**names.CELL_DURATION.histogram)
        self._running: dict[int, _Cell] = {}  # by thread
        self._baggage: tuple[object, Context] = (None, Context())  # the last header, and it read
        shell.events.register("pre_run_cell", self.begin)
        shell.events.register("post_run_cell", self.end)

    def detach(self) -> None:
        """Trace no further cell."""
        self._shell.events.unregister("pre_run_cell", self.begin)
        self._shell.events.unregister("post_run_cell", self.end)

    @quietly
    def begin(self, info: ExecutionInfo) -> None:
        """Start the span and make it current for the user's code."""
        completed(self._begin, info, wanted=lambda: True)

    def _begin(self, info: ExecutionInfo) -> None:
        if not info.store_history:
            return  # a front end's own doing: widgets, completions, variable inspectors
        request = self._kernel.get_parent()
        header = request.get("header") or {}
        if header.get("msg_type") != "execute_request":
            return  # a callback, say of a widget, that runs a cell by itself
        message = header["msg_id"]
        if any(cell.message == message for cell in list(self._running.values())):
            return  # run by the cell, for example with %run, or on a thread that it started
        thread = threading.get_ident()
        cell = self._running.get(thread)
        if cell is not None:
            self._finish(cell, INTERRUPTED)  # whose end nobody told

        metadata = request.get("metadata") or {}
        parent, links = self._origin
        if "traceparent" in metadata:
            parent, links = self._carried(metadata), ()
        span = self._tracer.start_span(spans.RUN_CELL, context=parent, links=links)
        current = trace.set_span_in_context(span, parent)
        self._running[thread] = _Cell(
            info=info,
            message=message,
            span=span,
            begun=_perf_counter(),
            context=current,
            token=context.attach(current),
        )

    @quietly
    def end(self, result: ExecutionResult | None) -> None:
        """End the span of this thread's cell, if the result is its own."""
        # A cell that another one has run may end while that goes on.
        completed(self._end, result, wanted=lambda: threading.get_ident() in self._running)

    def _end(self, result: ExecutionResult | None) -> None:
        thread = threading.get_ident()
        cell = self._running.get(thread)
        if cell is None or not _is_of(result, cell):
            return  # an empty cell, which has no begin, or one run by the cell
        del self._running[thread]
        # Outside the task of a cell with `await` its context is gone, and the token unknown.
        if context.get_current() is cell.context:
            context.detach(cell.token)
        if result is None:  # cancelled from outside
            self._finish(cell, INTERRUPTED)
            return
        if result.execution_count is not None:
            cell.span.set_attribute(attr.CELL_EXECUTION_COUNT, result.execution_count)
        error = result.error_before_exec or result.error_in_exec
        if error is None:
            self._finish(cell, OK)
        elif isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
            # An interrupt cancels what a cell awaits.
            self._finish(cell, INTERRUPTED)
        else:
            cell.span.set_attribute(attr.ERROR_TYPE, type(error).__name__)
            cell.span.set_status(StatusCode.ERROR)
            self._finish(cell, ERROR)

    def _carried(self, metadata: dict[str, Any]) -> Context:
        """Return the context that the server has sent along; a session's baggage is read once."""
        header, read = self._baggage
        if header != metadata.get("baggage"):
            read = BAGGAGE.extract(metadata, Context())
            self._baggage = metadata.get("baggage"), read
        return TRACE.extract(metadata, read)

    def _finish(self, cell: _Cell, status: str) -> None:
        cell.span.set_attribute(attr.CELL_STATUS, status)
        cell.span.end()
        # In the cell's context, so that the histogram's exemplars name its span.
        self._duration.record(
            _perf_counter() - cell.begun, {attr.CELL_STATUS: status}, cell.context
        )


def _is_of(result: ExecutionResult | None, cell: _Cell) -> bool:
    """Whether `result` is the cell's; IPython makes a new `info` where a cell breaks its runner."""
    info: Any = getattr(result, "info", cell.info)
    return info is cell.info or bool(info.raw_cell == cell.info.raw_cell)
