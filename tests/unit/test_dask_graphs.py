"""`compute graph`: what it covers, when it ends, and how."""

from __future__ import annotations

import asyncio
import gc
import threading
import time

import dask
import pytest
from af_otel_instrumentation.dask import _budget, submissions
from af_otel_instrumentation.dask import graph as graphs
from af_otel_instrumentation.dask.scheduler import plugin_of
from dask import delayed
from dasks import instrumented, is_child, until
from distributed import Client, wait
from distributed.utils_test import gen_cluster, inc, slowinc
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode
from secret_forms import VALUES, secret

GATE = threading.Event()


@pytest.fixture
def telemetry():
    GATE.clear()
    with instrumented() as telemetry:
        yield telemetry


def hold(x, after=None):
    """A task that runs until the test opens the gate: workers are in this process."""
    GATE.wait(30)
    return x


async def nothing_left(scheduler):
    """Wait until the plugin holds no graph, key or note."""
    plugin = plugin_of(scheduler)
    await until(
        lambda: not plugin._wanted and not plugin._queue.notes and not plugin._submissions.graphs
    )


def attributes(span):
    return {key.removeprefix("dask."): value for key, value in span.attributes.items()}


def fail(x):
    raise ValueError(f"the user's own words: {x}")


@gen_cluster(client=True)
async def test_a_map_is_one_graph_below_the_span_that_submitted_it(c, s, a, b, telemetry):
    """Its parent is what was current at `map`, and it tells tasks, workers and outcome."""
    with telemetry.tracer.start_as_current_span("cell"):
        futures = c.map(inc, range(10))
    await c.gather(futures)

    (graph,) = await telemetry.wait("compute graph")
    (cell,) = telemetry.spans("cell")
    assert is_child(graph, cell)
    assert attributes(graph) == {
        "graph.tasks": 10,
        "graph.tasks.erred": 0,
        "graph.outcome": "ok",
        "workers": 2,
    }
    assert graph.status.status_code is StatusCode.UNSET
    await nothing_left(s)


@gen_cluster(client=True)
async def test_a_graph_has_a_child_per_task_prefix(c, s, a, b, telemetry):
    """Each covers the time from its first task's start to its last one's end."""
    numbers = [delayed(slowinc)(i, delay=0.02, dask_key_name=("slow", i)) for i in range(4)]
    total = delayed(sum)(numbers, dask_key_name="total")
    assert await c.compute(total) == 10

    (graph,) = await telemetry.wait("compute graph")
    runs = {span.name: span for span in telemetry.spans("run tasks")}
    assert set(runs) >= {"run tasks slow", "run tasks total"}
    slow = runs["run tasks slow"]
    assert attributes(slow)["task.prefix"] == "slow"
    assert attributes(slow)["tasks"] == 4
    assert attributes(slow)["workers"] in {1, 2}
    assert attributes(slow)["compute.duration"] >= 0.08
    assert attributes(slow)["result.size"] > 0
    assert attributes(runs["run tasks total"])["transfer.duration"] >= 0
    for run in runs.values():
        assert is_child(run, graph)
        assert graph.start_time <= run.start_time <= run.end_time <= graph.end_time
    assert (
        sum(run.attributes["dask.tasks"] for run in runs.values())
        == graph.attributes["dask.graph.tasks"]
    )


@gen_cluster(client=True)
async def test_no_part_of_a_secret_in_a_key_is_a_prefix(c, s, a, b, telemetry):
    """Dask cuts keys at their last dash, and what is left may look like no credential."""
    keys = [text % secret(1) for text in VALUES.values()]
    cut = ["glpat-canary-0123456789abcdef0123456789abcdef", "sk-canary-canary-canary-0123456789"]
    await c.gather([c.submit(inc, i, key=key) for i, key in enumerate([*keys, *cut])])

    await telemetry.wait("compute graph", len(keys) + len(cut))
    for span in telemetry.spans("run tasks"):
        assert "canary" not in (text := span.to_json()), text


@gen_cluster(client=True)
async def test_a_graph_without_a_client_span_is_a_root(c, s, a, b, telemetry):
    """Also when another graph with a parent came just before it, while tasks still run."""
    with telemetry.tracer.start_as_current_span("cell"):
        first = c.submit(hold, 1)
    await asyncio.sleep(0.1)
    second = c.submit(inc, 2)
    await second
    GATE.set()
    await first

    one, other = await telemetry.wait("compute graph", 2)
    assert {one.parent is None, other.parent is None} == {True, False}


@gen_cluster(client=True)
async def test_baggage_reaches_the_graph_and_its_tasks(c, s, a, b, telemetry):
    """The carrier of the tasks holds the submitter's baggage beside the graph's own context."""
    token = context.attach(baggage.set_baggage("session.id", "f00"))
    try:
        future = c.submit(lambda: dict(baggage.get_all()), pure=False)
    finally:
        context.detach(token)
    assert await future == {"session.id": "f00"}


@gen_cluster(client=True)
async def test_a_failed_task_fails_its_graph(c, s, a, b, telemetry):
    """Class names only; dependents that never ran are not counted as failed."""
    bad = c.submit(fail, 1, key="bad-1")
    dependent = c.submit(inc, bad, key="after-1")
    with pytest.raises(ValueError, match="own words"):
        await dependent

    await telemetry.wait("compute graph", 2)
    by_tasks = {span.attributes["dask.graph.tasks.erred"]: span for span in telemetry.spans("comp")}
    graph, after = by_tasks[1], by_tasks[0]
    for span in (graph, after):
        assert span.attributes["dask.graph.outcome"] == "error"
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
    assert graph.attributes["error.type"] == "ValueError"
    (run,) = telemetry.spans("run tasks bad")
    (task,) = telemetry.spans("task")
    assert is_child(run, graph)
    assert is_child(task, run)
    for span in (run, task):
        assert span.attributes["error.type"] == "ValueError"
        assert span.status.status_code is StatusCode.ERROR
    assert task.attributes["dask.worker.name"] in {str(a.name), str(b.name)}
    assert "own words" not in "".join(span.to_json() for span in telemetry.spans())


@gen_cluster(client=True)
async def test_failed_tasks_get_a_few_spans(c, s, a, b, telemetry):
    """All are counted."""
    futures = c.map(fail, range(50), key="bad")
    await wait(futures)

    (graph,) = await telemetry.wait("compute graph")
    assert graph.attributes["dask.graph.tasks.erred"] == 50
    assert len(telemetry.spans("task")) == graphs.MAX_FAILED
    assert telemetry.counts("dask.task.duration") == {("bad", "error"): 50}


@gen_cluster(client=True, nthreads=[("", 1)])
async def test_slow_outliers_get_a_span(c, s, a, telemetry, monkeypatch):
    """A task much slower than the others of its prefix is shown by itself."""
    monkeypatch.setattr(graphs, "SLOW", 0.2)
    await c.gather(c.map(lambda x: time.sleep(0.4 if x == 7 else 0), range(40), key="nap"))

    await telemetry.wait("compute graph")
    (task,) = telemetry.spans("task")
    assert task.end_time - task.start_time >= 0.4e9
    assert task.status.status_code is StatusCode.UNSET


@gen_cluster(client=True, nthreads=[("", 1)])
async def test_cancelled_futures_end_their_graph(c, s, a, telemetry):
    """As cancelled, though a part was done."""
    done = c.submit(inc, 1)
    await done
    futures = c.map(hold, range(5), after=done)
    await asyncio.sleep(0.1)
    await c.cancel(futures)
    GATE.set()

    await telemetry.wait("compute graph", 2)
    assert [span.attributes["dask.graph.outcome"] for span in telemetry.spans("comp")] == [
        "ok",
        "cancelled",
    ]
    await nothing_left(s)


@gen_cluster(client=True, nthreads=[("", 1)])
async def test_a_client_that_dies_leaves_a_cancelled_graph(c, s, a, telemetry):
    """What only it wanted is forgotten; another client's graph goes on."""
    kept = c.submit(hold, 1, key="kept")
    async with Client(s.address, asynchronous=True) as other:
        lost = other.map(hold, range(3), key="lost")
        shared = other.submit(hold, 1, key="kept")
        await until(lambda: "kept" in s.tasks and len(s.tasks) == 4)
        del lost, shared
    (graph,) = await telemetry.wait("compute graph")
    assert graph.attributes["dask.graph.outcome"] == "cancelled"
    GATE.set()
    assert await kept == 1
    outcomes = [
        span.attributes["dask.graph.outcome"] for span in await telemetry.wait("compute graph", 3)
    ]
    assert sorted(outcomes) == ["cancelled", "ok", "ok"]
    await nothing_left(s)


@gen_cluster(client=True)
async def test_futures_that_are_dropped_cancel_their_graph(c, s, a, b, telemetry):
    """Dropping the last reference is how most notebooks cancel."""
    futures = c.map(slowinc, range(20), delay=1, key="slow")
    await until(lambda: len(s.tasks) == 20)
    del futures
    gc.collect()
    (graph,) = await telemetry.wait("compute graph")
    assert graph.attributes["dask.graph.outcome"] == "cancelled"
    await nothing_left(s)


@gen_cluster(client=True)
async def test_known_keys_make_a_graph_of_nothing(c, s, a, b, telemetry):
    """Computing what is in memory ends at once, below its own parent."""
    future = c.submit(inc, 1, key="known")
    await future
    with telemetry.tracer.start_as_current_span("cell"):
        again = c.submit(inc, 1, key="known")
        assert again is not future
        c2 = await Client(s.address, asynchronous=True)
        async with c2:
            assert await c2.submit(inc, 1, key="known") == 2
    _, second = await telemetry.wait("compute graph", 2)
    (cell,) = telemetry.spans("cell")
    assert is_child(second, cell)
    assert second.attributes["dask.graph.tasks"] == 0
    assert second.attributes["dask.graph.outcome"] == "ok"


@gen_cluster(client=True)
async def test_a_key_that_is_running_stays_with_its_first_graph(c, s, a, b, telemetry):
    """The second graph has a link to the first, its own parent, and ends with the key."""
    async with Client(s.address, asynchronous=True) as other:
        with telemetry.tracer.start_as_current_span("first cell"):
            first = c.submit(hold, 1, key="shared")
        await until(lambda: "shared" in s.tasks)
        with telemetry.tracer.start_as_current_span("second cell"):
            second = other.submit(hold, 1, key="shared")
        await asyncio.sleep(0.1)
        assert not telemetry.spans("compute graph")
        GATE.set()
        await first
        await second
        one, two = await telemetry.wait("compute graph", 2)
    if one.links:
        one, two = two, one
    assert not one.links
    assert [link.context.span_id for link in two.links] == [one.context.span_id]
    assert one.attributes["dask.graph.tasks"] == 1
    assert two.attributes["dask.graph.tasks"] == 0
    assert is_child(one, telemetry.spans("first cell")[0])
    assert is_child(two, telemetry.spans("second cell")[0])
    await nothing_left(s)


@gen_cluster(client=True)
async def test_a_key_computed_anew_belongs_to_the_graph_that_asks(c, s, a, b, telemetry):
    """A task that was forgotten, or released after its graph's end, moves to the next graph."""
    x = c.submit(inc, 1, key="x")
    y = c.submit(inc, x, key="y")
    await y
    x.release()
    await until(lambda: s.tasks["x"].state == "released")
    with telemetry.tracer.start_as_current_span("cell"):
        x = c.submit(inc, 1, key="x")
    await x
    graph = (await telemetry.wait("compute graph", 3))[2]
    assert is_child(graph, telemetry.spans("cell")[0])
    assert is_child(telemetry.spans("run tasks x")[1], graph)
    assert not graph.links


@gen_cluster(client=True, config={"distributed.scheduler.allowed-failures": 0})
async def test_a_task_that_kills_its_worker_fails_as_killed_worker(c, s, a, b, telemetry):
    """It has no times of its own, so its span is as long as the graph."""
    future = c.submit(slowinc, 1, delay=1, key="killer", workers=[a.address])
    await until(lambda: "killer" in s.tasks and s.tasks["killer"].state == "processing")
    await s.remove_worker(a.address, stimulus_id="test", close=False)
    await wait(future)
    assert future.status == "error"

    (graph,) = await telemetry.wait("compute graph")
    (task,) = telemetry.spans("task")
    assert graph.attributes["dask.graph.outcome"] == "error"
    assert task.attributes["error.type"] == graph.attributes["error.type"] == "KilledWorker"
    assert task.attributes["dask.worker.name"] == str(a.name)
    assert (task.start_time, task.end_time) == (graph.start_time, graph.end_time)
    assert telemetry.values("dask.worker.lost") == {(): 1}


@gen_cluster(client=True)
async def test_a_task_that_runs_again_after_a_loss_does_not_end_its_graph(c, s, a, b, telemetry):
    """Released is not cancelled while somebody waits."""
    future = c.submit(slowinc, 1, delay=0.5, key="lost")
    await until(lambda: "lost" in s.tasks and s.tasks["lost"].state == "processing")
    busy = s.tasks["lost"].processing_on.address
    await s.remove_worker(busy, stimulus_id="test", close=False)
    await asyncio.sleep(0.3)
    assert not telemetry.spans("compute graph")
    assert await future == 2
    (graph,) = await telemetry.wait("compute graph")
    assert graph.attributes["dask.graph.outcome"] == "ok"


@gen_cluster(client=True)
async def test_retries_do_not_fail_a_graph(c, s, a, b, telemetry):
    """A task that succeeded in the end is ok."""

    def flaky():
        from distributed import get_worker

        seen = get_worker().__dict__.setdefault("seen", [])
        seen.append(1)
        if len(seen) < 2:
            raise ValueError
        return 1

    assert await c.submit(flaky, retries=5, workers=[a.address]) == 1
    (graph,) = await telemetry.wait("compute graph")
    assert graph.attributes["dask.graph.outcome"] == "ok"


@gen_cluster(client=True)
async def test_restart_cancels_what_is_open(c, s, a, b, telemetry):
    """The scheduler forgets all tasks; so do we."""
    plugin = plugin_of(s)
    future = c.submit(slowinc, 1, delay=1)
    await until(lambda: s.tasks)
    plugin.restart(s)
    (graph,) = await telemetry.wait("compute graph")
    assert graph.attributes["dask.graph.outcome"] == "cancelled"
    await nothing_left(s)
    del future


@gen_cluster(client=True)
async def test_closing_the_scheduler_ends_what_is_open(c, s, a, b, telemetry):
    """At once: nothing waits for the next interval."""
    future = c.submit(slowinc, 1, delay=1)
    await until(lambda: s.tasks)
    await s.close()
    (graph,) = await telemetry.wait("compute graph")
    assert graph.attributes["dask.graph.outcome"] == "cancelled"
    assert telemetry.counts("dask.compute.duration") == {("cancelled",): 1}
    del future


@gen_cluster(client=True)
async def test_closing_a_scheduler_waits_for_no_export(c, s, a, b, telemetry):
    """Spans are made and exported behind its event loop, which goes on at once."""
    closed, done = threading.Event(), []

    class Slow(SpanProcessor):
        def on_end(self, span):
            if span.name != "worker share":
                done.append((closed.wait(4), threading.current_thread().name))

    telemetry.traces.add_span_processor(Slow())
    settled, open_ = c.submit(inc, 1, key="settled"), c.submit(hold, 1, key="open")
    await settled
    await until(lambda: s.tasks["open"].state == "processing")
    await s.close()
    closed.set()
    GATE.set()
    await until(lambda: len(telemetry.spans("compute graph")) == 2)
    assert set(done) == {(True, "af-otel-dask-scheduler")}
    assert {span.attributes["dask.graph.outcome"] for span in telemetry.spans("compute graph")} == {
        "ok",
        "cancelled",
    }
    del open_


@gen_cluster(client=True)
async def test_a_loop_of_submits_gathers_in_few_graphs(c, s, a, b, telemetry, monkeypatch):
    """The first have a span each; the metrics count all."""
    monkeypatch.setattr(submissions, "REFILL", 0.5)
    with telemetry.tracer.start_as_current_span("cell"):
        for i in range(submissions.OWN_SPANS + 100):
            await c.submit(inc, i)
    await nothing_left(s)
    spans = telemetry.spans("compute graph")
    assert submissions.OWN_SPANS < len(spans) < submissions.OWN_SPANS + 60
    assert sum(span.attributes["dask.graph.tasks"] for span in spans) == 150
    assert telemetry.counts("dask.compute.duration") == {("ok",): 150}
    # After a while, a graph has its own span again.
    await asyncio.sleep(1)
    before = len(telemetry.spans("compute graph"))
    with telemetry.tracer.start_as_current_span("other cell"):
        await c.submit(inc, -1)
    await telemetry.wait("compute graph", before + 1)


@gen_cluster(client=True)
async def test_a_graph_of_many_prefixes_stays_bounded(c, s, a, b, telemetry, monkeypatch):
    """Prefixes beyond the bound are one part, `other`; nothing is uncounted."""
    monkeypatch.setattr(graphs, "MAX_PARTS", 3)
    tasks = [delayed(inc)(i, dask_key_name=f"{name}-{i}") for i, name in enumerate("abcdefgh")]
    await c.gather(c.compute(tasks))
    (graph,) = await telemetry.wait("compute graph")
    runs = telemetry.spans("run tasks")
    assert len(runs) == 4
    assert "run tasks other" in {run.name for run in runs}
    assert sum(run.attributes["dask.tasks"] for run in runs) == 8
    assert graph.attributes["dask.graph.tasks"] == 8


@gen_cluster(client=True, timeout=200)
async def test_a_trace_of_many_graphs_stays_bounded(c, s, a, b, telemetry):
    """A cell of 55 graphs with 200 prefixes each: every graph has its span, which says how many
    others the trace had no room for. The first graphs have all of theirs, later ones fewer.
    """
    for state in (s, a.state, b.state):
        state.transition_counter_max = False  # Dask's own tests are smaller
    with telemetry.tracer.start_as_current_span("cell") as cell:
        for number in range(55):
            tasks = [delayed(inc)(i, dask_key_name=(f"{_word(i)}", number)) for i in range(200)]
            await c.gather(c.compute(tasks))
    await nothing_left(s)

    spans = [span for span in telemetry.spans() if span.context.trace_id == cell.context.trace_id]
    graphs_ = [span for span in spans if span.name == "compute graph"]
    runs = [span for span in spans if span.name.startswith("run tasks")]
    assert sum(span.attributes["dask.graph.tasks"] for span in graphs_) == 55 * 200
    assert len(graphs_) >= 51
    assert len(runs) < _budget.MAX_DETAILS
    assert len(spans) < 3000
    first, *_, last = sorted(graphs_, key=lambda span: span.start_time)
    assert "af_otel.spans.left_out" not in first.attributes
    assert len([span for span in runs if is_child(span, first)]) == 200
    assert last.attributes["af_otel.spans.left_out"] >= 199
    parts = sum(min(200, span.attributes["dask.graph.tasks"]) for span in graphs_)
    left_out = sum(span.attributes.get("af_otel.spans.left_out", 0) for span in graphs_)
    assert len(runs) + left_out == parts


def _word(number):
    """Dask takes digits at the end of a key for no part of its prefix."""
    return "".join("abcdefghij"[int(digit)] for digit in f"{number:03}")


@gen_cluster(client=True)
async def test_a_full_trace_keeps_what_failed(c, s, a, b, telemetry, monkeypatch):
    """Where there is room for few prefixes, those with an error are told."""
    monkeypatch.setattr(_budget, "MAX_DETAILS", 4)
    with telemetry.tracer.start_as_current_span("cell"):
        tasks = [delayed(slowinc)(i, delay=0.02, dask_key_name=_word(i)) for i in range(5)]
        with pytest.raises(ValueError, match="words"):
            await c.gather([*c.compute(tasks), c.compute(delayed(fail)(1, dask_key_name="bad"))])

    graphs_ = await telemetry.wait("compute graph", 2)
    assert "run tasks bad" in {span.name for span in telemetry.spans("run tasks")}
    assert sum(span.attributes.get("af_otel.spans.left_out", 0) for span in graphs_) >= 3


@gen_cluster(client=True)
async def test_a_trace_of_thousands_of_graphs_stays_bounded(c, s, a, b, telemetry, monkeypatch):
    """Even with a span of the user's around each: in the end graphs have none, the tasks run in the
    cell's context, and the next graph that has one says so.
    """
    monkeypatch.setattr(_budget, "MAX_GRAPHS", 5)
    monkeypatch.setattr(submissions, "REFILL", 0.2)
    with telemetry.tracer.start_as_current_span("cell") as cell:
        for i in range(20):
            with telemetry.tracer.start_as_current_span("step"):
                seen = await c.submit(current_trace, i)
                assert seen == cell.context.trace_id
    await nothing_left(s)
    assert len(telemetry.spans("compute graph")) == 5
    assert telemetry.counts("dask.compute.duration") == {("ok",): 20}

    monkeypatch.setattr(_budget, "GRAPH_REFILL", 0.001)
    await asyncio.sleep(0.01)
    with telemetry.tracer.start_as_current_span(
        "late", context=trace.set_span_in_context(trace.NonRecordingSpan(cell.context))
    ):
        await c.submit(inc, 1000)
    *_, late = await telemetry.wait("compute graph", 6)
    assert late.attributes["af_otel.spans.left_out"] >= 2


def current_trace(_):
    return trace.get_current_span().get_span_context().trace_id


@gen_cluster(client=True)
async def test_a_full_trace_has_no_more_shares(c, s, a, b, telemetry, monkeypatch):
    """The scheduler tells the workers, as none of them sees the others'; users' spans go on."""
    monkeypatch.setattr(_budget, "MAX_SHARES", 1)
    with telemetry.tracer.start_as_current_span("cell"):
        for i in range(3):
            await c.gather(c.map(inc, range(10 * i, 10 * i + 10)))
    graphs_ = await telemetry.wait("compute graph", 3)
    await asyncio.gather(a.close(), b.close())
    await until(lambda: telemetry.spans("worker share"))

    first, *others = sorted(graphs_, key=lambda span: span.start_time)
    shares = telemetry.spans("worker share")
    assert all(is_child(share, first) for share in shares)
    for graph in others:
        assert graph.attributes["af_otel.spans.left_out"] == graph.attributes["dask.workers"]


@gen_cluster(client=True)
async def test_the_arrival_counts_not_the_materialisation(c, s, a, b, telemetry):
    """Unpacking a graph is part of the computation."""
    bag = dask.delayed(sum)([delayed(inc)(i) for i in range(50)])
    before = time.time_ns()
    await c.compute(bag)
    (graph,) = await telemetry.wait("compute graph")
    assert before - 5_000_000 <= graph.start_time
    (event,) = [
        message
        for _, message in s.get_events("scheduler")
        if message.get("action") == "update-graph"
    ]
    assert graph.start_time == pytest.approx(
        event["metrics"]["start_timestamp_seconds"] * 1e9, abs=1e6
    )


@gen_cluster(client=True)
async def test_persist_is_a_graph_and_its_use_another(c, s, a, b, telemetry):
    """The second brings only what is new."""
    x = c.persist(delayed(inc)(1, dask_key_name="persisted"))
    await wait(x)
    await c.compute(delayed(inc)(x, dask_key_name="used"))
    graphs_ = await telemetry.wait("compute graph", 2)
    assert [span.attributes["dask.graph.tasks"] for span in graphs_] == [1, 1]
