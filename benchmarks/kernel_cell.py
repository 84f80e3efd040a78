"""What a cell costs: the kernel's two callbacks and the server's share, against a plain SDK span.

All in one process and one run, CPU time (process_time_ns of the main thread's work), medians over
rounds that are interleaved. Nothing is exported: that happens behind, for every span alike. A cell
takes about 3 ms from request to reply.

    python benchmarks/kernel_cell.py [--rounds 30] [--cells 1000] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.ipykernel.shell import CellTracer as KernelTracer
from af_otel_instrumentation.jupyter_server import wire
from af_otel_instrumentation.jupyter_server.cells import CellTracer as ServerTracer
from af_otel_instrumentation.jupyter_server.environment import Origin
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult
from jupyter_client.session import Session
from jupyter_server.services.kernels.connection.base import serialize_msg_to_ws_v1
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

if TYPE_CHECKING:
    from collections.abc import Callable

TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
CARRIER = {"traceparent": TRACEPARENT, "baggage": f"session.id={'c' * 32},user.hash={'d' * 16}"}
CODE = "import uproot\n" + "hist.fill(events['Muon_pt'])\n" * 20


class Events:
    """As IPython's, with the callbacks that were registered."""

    def __init__(self) -> None:
        self.callbacks: dict[str, Callable[[Any], None]] = {}

    def register(self, event: str, callback: Callable[[Any], None]) -> None:
        """Keep one callback an event."""
        self.callbacks[event] = callback


def kernel_callbacks(tracers: TracerProvider, meters: MeterProvider) -> Callable[[int], None]:
    """Both callbacks of a cell with metadata, in the kernel."""
    events = Events()
    header = {"msg_id": "m", "msg_type": "execute_request"}
    request = {"header": header, "metadata": {"cellId": "c", **CARRIER}}
    KernelTracer(
        SimpleNamespace(events=events),
        SimpleNamespace(get_parent=lambda: request),
        tracers,
        meters,
    )
    info = ExecutionInfo(CODE, True, False, True, None, None, transformed_cell=CODE)
    result = ExecutionResult(info)
    result.execution_count = 1
    begin, end = events.callbacks["pre_run_cell"], events.callbacks["post_run_cell"]

    def run(number: int) -> None:
        header["msg_id"] = str(number)
        begin(info)
        end(result)

    return run


def server_messages(
    tracers: TracerProvider, meters: MeterProvider, protocol: str
) -> Callable[[int], None]:
    """A cell's request, echo and reply through the server."""
    tracer = ServerTracer(Origin.of_environment(), tracers, meters)
    connection = SimpleNamespace(kernel_id="k", subprotocol=protocol)
    session = Session(key=b"key")
    request = session.msg("execute_request", {"code": CODE, "silent": False})
    if protocol == wire.V1:
        names = ("header", "parent_header", "metadata", "content")
        raw = serialize_msg_to_ws_v1([session.pack(request[name]) for name in names], "shell")
    else:
        raw = session.pack({**request, "channel": "shell"}).decode()
    echo = session.msg("execute_input", {"code": CODE}, parent=request)
    metadata = {"started": "2026-11-22T18:38:46.207262Z"}
    reply = session.msg("execute_reply", {"status": "ok"}, parent=request, metadata=metadata)
    echoed = [b"kernel.k.execute_input", *session.serialize(echo)]
    replied = [b"k", *session.serialize(reply)]

    def run(_: int) -> None:
        tracer.request(connection, raw)
        tracer.answer(connection, "iopub", echoed)
        tracer.answer(connection, "shell", replied)

    return run


def server_bystanders(tracers: TracerProvider, meters: MeterProvider) -> Callable[[int], None]:
    """A message that is none of ours, once in each direction, while a cell runs."""
    tracer = ServerTracer(Origin.of_environment(), tracers, meters)
    connection = SimpleNamespace(kernel_id="k", subprotocol=wire.V1)
    session = Session(key=b"key")
    cell = session.msg("execute_request", {"code": CODE, "silent": False})
    names = ("header", "parent_header", "metadata", "content")
    tracer.request(
        connection, serialize_msg_to_ws_v1([session.pack(cell[name]) for name in names], "shell")
    )
    widget = session.msg("comm_msg", {"data": {"value": list(range(1000))}})
    raw = serialize_msg_to_ws_v1([session.pack(widget[name]) for name in names], "shell")
    output = session.msg("stream", {"name": "stdout", "text": "x" * 1000}, parent=cell)
    frames = [b"kernel.k.stream.stdout", *session.serialize(output)]

    def run(_: int) -> None:
        tracer.request(connection, raw)
        tracer.answer(connection, "iopub", frames)

    return run


def plain_span(tracers: TracerProvider) -> Callable[[int], None]:
    """What the SDK alone takes for a span like `run cell`, current for a while."""
    tracer = tracers.get_tracer("plain")

    def run(number: int) -> None:
        span = tracer.start_span("run cell", attributes={"jupyter.cell.execution_count": number})
        token = context.attach(trace.set_span_in_context(span))
        span.set_attribute("jupyter.cell.status", "ok")
        context.detach(token)
        span.end()

    return run


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()

    tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    variants = {
        "plain SDK span": plain_span(tracers),
        "kernel: both callbacks": kernel_callbacks(tracers, meters),
        "server: a cell, v1": server_messages(tracers, meters, wire.V1),
        "server: a cell, legacy JSON": server_messages(tracers, meters, ""),
        "server: two other messages": server_bystanders(tracers, meters),
    }
    took: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(options.rounds):
        for name, run in variants.items():
            begun = time.process_time_ns()
            for number in range(options.cells):
                run(number)
            took[name].append((time.process_time_ns() - begun) / options.cells / 1000)

    medians = {name: statistics.median(times) for name, times in took.items()}
    if options.json:
        print(json.dumps({"us": medians}))
        return
    plain = medians["plain SDK span"]
    for name, median in medians.items():
        least = min(took[name])
        print(f"{name:<30} {median:7.1f} µs  (min {least:5.1f})  {median / plain:5.2f} x plain")


if __name__ == "__main__":
    main()
