"""Cells as they pass through the server: from the front end's request to the kernel's reply.

Not every cell gets its reply here. The kernel may die; and a front end that goes away (a closed
tab, a lost network) leaves cells behind whose reply goes to nobody, or to its next connection. They
end when the kernel has nothing to do any more, or ends itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.jupyter_server import wire
from af_otel_instrumentation.jupyter_server._quietly import quietly
from af_otel_instrumentation.jupyter_server.environment import BAGGAGE, TRACE
from af_otel_semconv import attributes as attr
from af_otel_semconv import metrics as names
from af_otel_semconv import spans
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from tornado.ioloop import IOLoop

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from af_otel_instrumentation.jupyter_server.environment import Origin
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

OK = "ok"
ERROR = "error"
INTERRUPTED = "interrupted"
ABORTED = "aborted"
DIED = "died"

# Cells of one kernel that wait for their reply; further ones run untraced.
MAX_OPEN = 1000
# A kernel whose cells nobody waits for is looked at this often, in seconds.
LOOK = 5.0


@dataclass(eq=False)
class Cell:
    """A cell that was asked for and has not been answered."""

    span: Span
    context: Context  # with the span current
    received: int  # nanoseconds since the epoch, as are the others
    connection: object | None  # None: the front end is gone
    started: int | None = None


class CellTracer:
    """Makes a span of each cell that a person runs by one of this server's websockets."""

    def __init__(
        self, origin: Origin, tracer_provider: TracerProvider, meter_provider: MeterProvider
    ) -> None:
        self._origin = origin
        self._baggage: dict[str, str] = {}  # as it goes with every cell
        BAGGAGE.inject(self._baggage, origin.context)
        self._tracer = tracer_provider.get_tracer("af_otel_instrumentation.jupyter_server.cells")
        meter = meter_provider.get_meter("af_otel_instrumentation.jupyter_server.cells")
        self._queued = meter.create_histogram(**names.CELL_QUEUE_DURATION.histogram)
        self._duration = meter.create_histogram(**names.CELL_DURATION.histogram)
        self._open: dict[str, dict[str, Cell]] = {}  # by kernel, by message
        self._looked_at: set[str] = set()

    def request(self, connection: Any, message: str | bytes) -> str | bytes:
        """Return what is to be sent to the kernel for `message` of the front end."""
        request = wire.cell_request(message, connection.subprotocol)
        if request is None:
            return message
        cells = self._open.setdefault(connection.kernel_id, {})
        if len(cells) >= MAX_OPEN or request.message_id in cells:
            return message
        received = time.time_ns()
        # What is current here is the request that opened the websocket: hours ago, perhaps.
        span = self._tracer.start_span(
            spans.EXECUTE_CELL,
            context=self._origin.context,
            kind=SpanKind.SERVER,
            links=self._origin.links,
            attributes={attr.KERNEL_ID: connection.kernel_id},
            start_time=received,
        )
        context = trace.set_span_in_context(span, self._origin.context)
        carrier = self._baggage.copy()
        TRACE.inject(carrier, context)
        cells[request.message_id] = Cell(span, context, received, connection)
        return request.with_metadata(carrier)

    @quietly
    def answer(self, connection: Any, stream: Any, frames: list[bytes]) -> None:
        """Take note of a message from the kernel."""
        cells = self._open.get(connection.kernel_id)
        if not cells:
            return
        channel = stream if isinstance(stream, str) else getattr(stream, "channel", None)
        if channel == "iopub":
            begin = wire.cell_begin(frames)
            if begin is not None and begin.request_id in cells:
                self._leave_queue(cells[begin.request_id], begin.started)
        elif channel == "shell":
            reply = wire.cell_reply(frames)
            if reply is not None:
                for cell in self._taken(connection.kernel_id, [reply.request_id]):
                    self._reply(cell, reply)

    @quietly
    def disconnected(self, connection: Any) -> None:
        """Look after the cells of a front end that is gone."""
        kernel_id = connection.kernel_id
        left = [
            cell for cell in self._open.get(kernel_id, {}).values() if cell.connection is connection
        ]
        for cell in left:
            cell.connection = None
        if left and kernel_id not in self._looked_at:
            self._looked_at.add(kernel_id)
            IOLoop.current().call_later(LOOK, self._look, connection.kernel_manager, kernel_id)

    def waiting(self, kernel_id: str) -> list[str]:
        """Return the cells of a kernel that have no reply yet."""
        return list(self._open.get(kernel_id, ()))

    def kernel_died(self, kernel_id: str, reason: str) -> None:
        """End the cells of a kernel that nobody asked to end: it takes the running ones along."""
        for cell in self._taken(kernel_id, self.waiting(kernel_id)):
            if cell.started is None:
                self._end(cell, ABORTED)
                continue
            # The kernel cannot tell any more how long it ran.
            ran = (time.time_ns() - cell.started) / 1e9
            self._duration.record(ran, {attr.CELL_STATUS: DIED}, cell.context)
            self._end(cell, DIED, error_type=reason)

    def kernel_ended(self, kernel_id: str, message_ids: list[str]) -> None:
        """End cells of a kernel that was shut down or restarted as its user wished.

        It was interrupted first, and has told how long they ran; its reply may have got lost.
        """
        for cell in self._taken(kernel_id, message_ids):
            self._end(cell, ABORTED if cell.started is None else INTERRUPTED)

    def _taken(self, kernel_id: str, message_ids: Iterable[str]) -> Iterator[Cell]:
        """Take cells that are still open."""
        for message_id in message_ids:
            cell = self._open.get(kernel_id, {}).get(message_id)
            if cell is not None:
                self._forget(kernel_id, message_id)
                yield cell

    def _reply(self, cell: Cell, reply: wire.Reply) -> None:
        if reply.status in {"aborted", "abort"}:
            self._end(cell, ABORTED)
            return
        self._leave_queue(cell, reply.started)
        if reply.status == "ok":
            self._end(cell, OK)
        elif reply.error in {"KeyboardInterrupt", "CancelledError"}:
            self._end(cell, INTERRUPTED)
        else:
            self._end(cell, ERROR, error_type=reply.error or None)

    def _leave_queue(self, cell: Cell, started: int | None) -> None:
        if cell.started is not None:
            return
        now = time.time_ns()
        # By the kernel's clock, which on another machine may be off.
        cell.started = max(cell.received, min(started or now, now))
        queue = self._tracer.start_span(spans.QUEUE, context=cell.context, start_time=cell.received)
        queue.end(cell.started)
        self._queued.record((cell.started - cell.received) / 1e9, None, cell.context)

    def _end(
        self,
        cell: Cell,
        status: str | None,
        when: int | None = None,
        error_type: str | None = None,
    ) -> None:
        if status is not None:
            cell.span.set_attribute(attr.CELL_STATUS, status)
        if status in {ERROR, DIED}:
            cell.span.set_status(StatusCode.ERROR)
        if error_type is not None:
            cell.span.set_attribute(attr.ERROR_TYPE, error_type)
        cell.span.end(when)

    def _forget(self, kernel_id: str, message_id: str) -> None:
        cells = self._open[kernel_id]
        del cells[message_id]
        if not cells:
            del self._open[kernel_id]

    @quietly
    def _look(self, manager: Any, kernel_id: str) -> None:
        """End the cells that nobody waits for once their kernel is idle; it knows how they went."""
        left = [
            message_id
            for message_id, cell in self._open.get(kernel_id, {}).items()
            if cell.connection is None
        ]
        gone = kernel_id not in manager.parent
        if left and not gone and getattr(manager, "execution_state", None) != "idle":
            IOLoop.current().call_later(LOOK, self._look, manager, kernel_id)
            return
        self._looked_at.discard(kernel_id)
        # The server watches every kernel's iopub: this is when the last of the cells was done.
        idle_since = int(manager.last_activity.timestamp() * 1e6) * 1000
        for cell in self._taken(kernel_id, left):
            self._end(cell, None, max(cell.received, idle_since))


def traced_connection(connection: type, tracer: CellTracer) -> type:
    """Return a subclass of the class of kernels' websockets that traces cells.

    One that speaks to a gateway, or does without ZeroMQ, is returned as it is.
    """
    if not issubclass(connection, ZMQChannelsWebsocketConnection):
        return connection

    @quietly
    def request(self: Any, message: str | bytes) -> str | bytes:
        return tracer.request(self, message)

    class TracedConnection(connection):  # type: ignore[misc]
        def handle_incoming_message(self, incoming_msg: Any) -> None:
            traced = request(self, incoming_msg) if self.channels else None
            super().handle_incoming_message(incoming_msg if traced is None else traced)

        def handle_outgoing_message(self, stream: Any, outgoing_msg: Any) -> None:
            try:
                super().handle_outgoing_message(stream, outgoing_msg)  # the front end first
            finally:
                tracer.answer(self, stream, outgoing_msg)

        def disconnect(self) -> None:
            super().disconnect()
            tracer.disconnected(self)

    # Configuration is looked up by the names of a class and its bases; logs show the class' own.
    TracedConnection.__name__ = TracedConnection.__qualname__ = connection.__name__
    return TracedConnection
