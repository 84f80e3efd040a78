"""Cells in a kernel, on a real IPython shell: what a front end cannot make happen at will."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest
from af_otel_instrumentation import ipykernel
from af_otel_instrumentation.ipykernel.shell import CellTracer
from ipykernel.kernelapp import IPKernelApp
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Kernel:
    """The part of a kernel that knows which request is being worked on."""

    def __init__(self):
        self.parents = threading.local()
        self.ask("first")

    def ask(self, message_id, kind="execute_request", metadata=None):
        self.parents.current = {
            "header": {"msg_id": message_id, "msg_type": kind},
            "metadata": metadata or {},
        }

    def get_parent(self):
        return self.parents.current


@pytest.fixture
def kernel():
    return Kernel()


@pytest.fixture
def shell():
    return InteractiveShell()


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def exported():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(shell, kernel, exported, reader):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exported))
    running = CellTracer(shell, kernel, provider, MeterProvider([reader]))
    yield running
    running.detach()
    assert not trace.get_current_span().get_span_context().is_valid, "a cell left its span behind"


def ends(exported):
    return [span.attributes["jupyter.cell.status"] for span in exported.get_finished_spans()]


def run(shell, code, **kwargs):
    return shell.run_cell(code, store_history=True, **kwargs)


@pytest.mark.parametrize(
    ("moment", "code", "end"),
    [
        ("_begin", "import time; time.sleep(60)", "interrupted"),
        ("_end", "1", "ok"),
        ("_end", "get_ipython().run_cell('1'); import time; time.sleep(60)", "interrupted"),
    ],
)
def test_an_interrupt_while_telemetry_works_is_the_cells(
    shell, tracer, exported, monkeypatch, capsys, moment, code, end
):
    """As in a kernel's first cell, which waits for the SDK; one after a cell's end is nobody's."""
    work = getattr(tracer, moment)

    def interrupted(about):
        signal.raise_signal(signal.SIGINT)
        work(about)

    monkeypatch.setattr(tracer, moment, interrupted)
    run(shell, code)
    assert ends(exported) == [end]
    assert "Error in callback" not in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("tracer")
def test_every_cell_is_one_span(shell, kernel, exported, reader):
    """Its parent is what the request's metadata says; its duration is counted by its end."""
    traceparent = f"00-{'c' * 32}-{'d' * 16}-01"
    kernel.ask("1", metadata={"traceparent": traceparent, "baggage": "session.id=s"})
    run(shell, "from opentelemetry import trace; seen = trace.get_current_span()")
    run(shell, "")
    kernel.ask("2")
    run(shell, "1/0")
    first, second = exported.get_finished_spans()
    assert first.parent.span_id == int("d" * 16, 16)
    assert first.get_span_context() == shell.user_ns["seen"].get_span_context()
    assert second.parent is None
    assert second.attributes["error.type"] == "ZeroDivisionError"
    assert ends(exported) == ["ok", "error"]
    [metric] = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
    assert (metric.name, metric.unit) == ("jupyter.cell.duration", "s")
    assert {
        point.attributes["jupyter.cell.status"]: point.count for point in metric.data.data_points
    } == {"ok": 1, "error": 1}


@pytest.mark.usefixtures("tracer")
def test_a_cell_within_a_cell_is_part_of_it(shell, kernel, exported):
    """An inner end does not end the outer one, nor does an empty cell's, which has no begin."""
    shell.user_ns["ask"] = shell.run_cell
    kernel.ask("1")
    run(shell, "ask('1/0', store_history=True); ask(''); ask('import asyncio')")
    assert ends(exported) == ["ok"]


@pytest.mark.usefixtures("tracer")
def test_a_cell_on_a_thread_of_a_cell_is_part_of_it(shell, kernel, exported):
    """There, a kernel names the same request."""

    def on_a_thread():
        kernel.ask("1")
        run(shell, "1/0")

    def meanwhile():
        thread = threading.Thread(target=on_a_thread)
        thread.start()
        thread.join()

    shell.user_ns["meanwhile"] = meanwhile
    kernel.ask("1")
    run(shell, "meanwhile()")
    assert ends(exported) == ["ok"]


@pytest.mark.usefixtures("tracer")
def test_a_widget_that_runs_a_cell_is_nobody(shell, kernel, exported):
    """Nor does it end the cell that waits meanwhile."""
    kernel.ask("1")
    shell.events.trigger("pre_run_cell", info := _info(shell, "await forever"))
    kernel.ask("2", kind="comm_msg")
    run(shell, "1")
    assert not exported.get_finished_spans()
    kernel.ask("1")
    shell.events.trigger("post_run_cell", ExecutionResult(info))
    assert ends(exported) == ["ok"]


@pytest.mark.usefixtures("tracer")
def test_a_cell_cancelled_from_outside_is_interrupted(shell, exported):
    """IPython has no result to show then."""

    async def cell():
        shell.events.trigger("pre_run_cell", _info(shell, "await x"))
        await asyncio.sleep(60)

    async def kernel():
        task = asyncio.ensure_future(cell())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Where the cell's context is not, and its token means nothing.
        shell.events.trigger("post_run_cell", None)

    asyncio.run(kernel())
    assert ends(exported) == ["interrupted"]


@pytest.mark.usefixtures("tracer")
def test_a_cell_whose_end_nobody_told_is_ended_by_the_next(shell, kernel, exported):
    """So there is one open cell a thread at most."""
    shell.events.trigger("pre_run_cell", _info(shell, "lost"))
    token = context.attach(context.Context())
    try:
        kernel.ask("2")
        run(shell, "1")
    finally:
        context.detach(token)
        context.attach(context.Context())
    assert ends(exported) == ["interrupted", "ok"]


@pytest.mark.usefixtures("tracer")
def test_threads_have_cells_of_their_own(shell, kernel, exported):
    """As subshells run them."""
    shell.events.trigger("pre_run_cell", info := _info(shell, "slow"))

    def subshell():
        kernel.ask("2")
        shell.events.trigger("pre_run_cell", inner := _info(shell, "quick"))
        shell.events.trigger("post_run_cell", ExecutionResult(inner))

    thread = threading.Thread(target=subshell)
    thread.start()
    thread.join()
    assert len(exported.get_finished_spans()) == 1
    shell.events.trigger("post_run_cell", ExecutionResult(info))
    assert len(exported.get_finished_spans()) == 2


@pytest.mark.parametrize("metadata", [{"traceparent": 5}, {"traceparent": "x", "baggage": 5}])
@pytest.mark.usefixtures("tracer")
def test_metadata_that_makes_no_sense_is_none(shell, kernel, exported, metadata, capsys):
    """Any client may put anything there."""
    kernel.ask("1", metadata=metadata)
    assert run(shell, "1").success
    assert len(exported.get_finished_spans()) <= 1
    assert "Traceback" not in capsys.readouterr().out


def test_what_fails_in_telemetry_is_not_in_the_cells_output(shell, kernel, capsys):
    """The cell runs as ever."""

    class Broken:
        def get_tracer(self, *_):
            return self

        def start_span(self, *_args, **_kwargs):
            raise RuntimeError("canary")

    tracer = CellTracer(shell, kernel, Broken(), MeterProvider())
    try:
        assert run(shell, "print('out')").success
    finally:
        tracer.detach()
    assert capsys.readouterr().out == "out\n"


def test_a_kernel_is_left_as_it_was_found():
    """However often it was instrumented."""
    before = IPKernelApp.initialize
    ipykernel.instrument()
    once = IPKernelApp.initialize
    ipykernel.instrument()
    assert IPKernelApp.initialize is once is not before
    ipykernel.uninstrument()
    ipykernel.uninstrument()
    assert IPKernelApp.initialize is before


def _info(shell, code):
    """What IPython says of a cell that begins."""
    seen = []
    original, shell.events.callbacks["pre_run_cell"] = (
        shell.events.callbacks["pre_run_cell"],
        [seen.append],
    )
    rest = shell.events.callbacks["post_run_cell"]
    shell.events.callbacks["post_run_cell"] = []
    try:
        shell.run_cell("pass", store_history=True)
    finally:
        shell.events.callbacks["pre_run_cell"] = original
        shell.events.callbacks["post_run_cell"] = rest
    [info] = seen
    info.raw_cell = code
    return info
