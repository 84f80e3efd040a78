"""What a client carries to the scheduler, and what it leaves alone."""

from __future__ import annotations

import dask
import pytest
from af_otel_instrumentation.dask.scheduler import _submitted_with
from af_otel_semconv.carriers import DASK_ANNOTATION
from dask import delayed
from dasks import instrumented, is_child, until
from distributed import Client, LocalCluster, wait
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.utils_test import gen_cluster, inc
from opentelemetry import baggage, context, trace


@pytest.fixture
def telemetry():
    with instrumented() as telemetry:
        yield telemetry


class Arrivals(SchedulerPlugin):
    """Keeps what came with graphs: the carrier, and the annotations as other plugins see them."""

    def __init__(self):
        self.annotations = []
        self.carriers = []

    def update_graph(self, scheduler, *, annotations, **kwargs):
        self.annotations.append({name: dict(keys) for name, keys in annotations.items()})
        self.carriers.append(_submitted_with.get({}))


@gen_cluster(client=True)
async def test_a_graph_carries_the_current_context(c, s, a, b, telemetry):
    """The trace context and the baggage, once per graph."""
    s.add_plugin(arrivals := Arrivals())
    token = context.attach(baggage.set_baggage("session.id", "f00"))
    try:
        with telemetry.tracer.start_as_current_span("cell") as cell:
            await c.gather(c.map(inc, range(3)))
    finally:
        context.detach(token)
    (carrier,) = arrivals.carriers
    assert set(carrier) == {"traceparent", "baggage"}
    assert carrier["baggage"] == "session.id=f00"
    ids = f"00-{cell.context.trace_id:032x}-{cell.context.span_id:016x}-"
    assert carrier["traceparent"].startswith(ids)


@gen_cluster(client=True)
async def test_without_a_context_nothing_is_annotated(c, s, a, b, telemetry):
    """A graph of a client that traces nothing arrives as it always did."""
    s.add_plugin(arrivals := Arrivals())
    await c.submit(inc, 1)
    assert arrivals.carriers == [{}]


@pytest.fixture
def session(monkeypatch):
    monkeypatch.setenv("BAGGAGE", "session.id=the-process,broken")
    with instrumented():
        yield


@gen_cluster(client=True)
async def test_outside_of_a_cell_the_process_tells_the_session(c, s, a, b, session, caplog):
    """A thread or a callback of a widget has no context; what is current names its own session.

    What cannot be read in the environment is said once.
    """
    s.add_plugin(arrivals := Arrivals())
    await c.submit(inc, 1)
    token = context.attach(baggage.set_baggage("session.id", "current"))
    try:
        await c.submit(inc, 2)
    finally:
        context.detach(token)
    assert arrivals.carriers == [
        {"baggage": "session.id=the-process"},
        {"baggage": "session.id=current"},
    ]
    logged = caplog.get_records("setup") + caplog.records
    assert [record.args for record in logged].count(("broken",)) == 1


@gen_cluster(client=True)
async def test_a_scheduler_that_is_not_traced_gets_no_carrier(c, s, a, b):
    """Its users would see it among the annotations; this one was connected to before."""
    s.add_plugin(arrivals := Arrivals())
    with instrumented() as telemetry, telemetry.tracer.start_as_current_span("cell"):
        await c.submit(inc, 1)
        c.status = "connecting"
        await reconnected(c, c.submit(inc, 2))
    assert arrivals.annotations == [{}, {}]


@gen_cluster(client=True)
async def test_a_graph_that_waits_for_the_connection_keeps_its_context(c, s, a, b, telemetry):
    """It is sent again from another context."""
    c.status = "connecting"
    with telemetry.tracer.start_as_current_span("cell"):
        future = c.submit(inc, 1)
    with telemetry.tracer.start_as_current_span("other"):
        await reconnected(c, future)
    (graph,) = await telemetry.wait("compute graph")
    (cell,) = telemetry.spans("cell")
    assert is_child(graph, cell)


async def reconnected(client, future):
    """Send what has waited for the connection as the client does; return the future's result."""
    await until(lambda: client._pending_msg_buffer)
    client.status = "running"
    for message in client._pending_msg_buffer:
        client._send_to_scheduler(message)
    client._pending_msg_buffer.clear()
    return await future


@gen_cluster(client=True)
async def test_a_users_own_annotations_stay(c, s, a, b, telemetry):
    """Those that mean something to Dask, and those that only the user reads."""
    s.add_plugin(arrivals := Arrivals())
    with telemetry.tracer.start_as_current_span("cell"), dask.annotate(priority=7, mine="x"):
        future = c.submit(inc, 1, key="one", workers=[a.address], pure=False)
        assert set(dask.get_annotations()) == {"priority", "mine"}
    await wait(future)
    (one,) = arrivals.annotations
    assert one["mine"] == {"one": "x"}
    assert one["priority"] == {"one": 7}
    assert one["workers"] == {"one": [a.address]}
    assert future.key in a.data
    task = s.tasks["one"]
    assert {"mine", "priority"} <= set(task.annotations)
    assert DASK_ANNOTATION not in task.annotations


@gen_cluster(client=True)
async def test_dask_spans_keep_working(c, s, a, b, telemetry):
    """Dask's own `span` annotation lives in the same dict of each task."""
    from distributed import get_worker, span

    def names():
        worker = get_worker()
        return worker.state.tasks["named"].annotations["span"]["name"]

    with telemetry.tracer.start_as_current_span("cell"), span("theirs"):
        future = c.submit(names, key="named")
    assert await future == ("theirs",)


def test_every_way_to_submit_is_linked(telemetry):
    """submit, map, compute, persist, get and delayed, from a synchronous client."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        x = delayed(inc)(1, dask_key_name="x")
        ways = {
            "submit": lambda: client.submit(inc, 1).result(),
            "map": lambda: client.gather(client.map(inc, range(2))),
            "compute": lambda: client.compute(x).result(),
            "persist": lambda: wait(x.persist()),
            "get": lambda: client.get({"y": (inc, 1)}, "y"),
            "delayed": lambda: delayed(inc)(2).compute(),
        }
        for name, way in ways.items():
            with telemetry.tracer.start_as_current_span(name):
                way()
    graphs = telemetry.spans("compute graph")
    for name in ways:
        (parent,) = [span for span in telemetry.spans() if span.name == name]
        assert [graph for graph in graphs if is_child(graph, parent)], name
    assert len(graphs) == len(ways)


def test_arrays_are_optimised_as_before(telemetry):
    """The annotation is there at submission only, so that layers of an array still fuse."""
    array = pytest.importorskip("dask.array")
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster),
    ):
        with telemetry.tracer.start_as_current_span("cell"):
            total = (array.ones(100, chunks=10) + 1 + 1).sum().compute()
        assert total == 300
    (graph,) = telemetry.spans("compute graph")
    with telemetry.tracer.start_as_current_span("plain"):
        plain = (array.ones(100, chunks=10) + 1 + 1).sum()
        (optimised,) = dask.optimize(plain)
    expected = len(dict(optimised.__dask_graph__()))
    # An alias or two more, depending on the version, but not a layer of ten.
    assert graph.attributes["dask.graph.tasks"] <= expected + 2


@gen_cluster(client=True)
async def test_the_current_span_is_untouched(c, s, a, b, telemetry):
    """Submitting leaves the caller's context as it was."""
    before = trace.get_current_span()
    await c.submit(inc, 1)
    assert trace.get_current_span() is before
