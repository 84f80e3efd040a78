"""Tasks inside their computation's context, and `worker share`."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest
from af_otel_instrumentation.dask import worker as shares
from dasks import instrumented, is_child
from distributed import get_worker, wait, worker_client
from distributed.utils_test import gen_cluster, inc, slowinc
from opentelemetry import trace


@pytest.fixture
def telemetry(monkeypatch):
    monkeypatch.setattr(shares, "IDLE", 0.2)
    with instrumented() as telemetry:
        yield telemetry


def context_of_task(*_args):
    """What a span made in a task would have as its parent."""
    return trace.get_current_span().get_span_context().span_id


async def context_of_async_task(x):
    await asyncio.sleep(0.01)
    return context_of_task(x)


@gen_cluster(client=True)
async def test_a_tasks_context_is_its_computation(c, s, a, b, telemetry):
    """In threads, for each of several computations at once."""
    ones = c.map(context_of_task, range(20), key="one")
    others = c.map(context_of_task, range(20), key="other")
    one, other = set(await c.gather(ones)), set(await c.gather(others))
    graphs = await telemetry.wait("compute graph", 2)
    assert len(one) == len(other) == 1
    assert one | other == {graph.context.span_id for graph in graphs}


@gen_cluster(client=True)
async def test_an_async_tasks_context_is_its_computation(c, s, a, b, telemetry):
    """Also those that run on the worker's event loop side by side."""
    ones = c.map(context_of_async_task, range(10), key="one")
    others = c.map(context_of_async_task, range(10), key="other")
    found = set(await c.gather(ones)), set(await c.gather(others))
    graphs = await telemetry.wait("compute graph", 2)
    assert [len(one) for one in found] == [1, 1]
    assert set.union(*found) == {graph.context.span_id for graph in graphs}


@gen_cluster(client=True, nthreads=[("", 1)])
async def test_no_context_leaks_from_a_task(c, s, a, telemetry):
    """Neither into the worker's event loop nor into the thread that ran it."""
    await c.submit(inc, 1)
    assert context_of_task() == 0
    loop = asyncio.get_running_loop()
    assert await loop.run_in_executor(a.executors["default"], context_of_task) == 0


@gen_cluster(client=True)
async def test_tasks_that_wait_for_the_same_data_keep_their_own_context(c, s, a, b, telemetry):
    """Several become ready with one arrival; each runs in its own computation."""
    data = c.submit(inc, 1, workers=[a.address], key="data")
    await data
    futures = [c.submit(context_of_task, data, key=f"t-{i}", workers=[b.address]) for i in range(5)]
    found = await c.gather(futures)
    assert len(set(found)) == 5


@gen_cluster(client=True)
async def test_a_graph_submitted_by_a_task_is_its_graphs_child(c, s, a, b, telemetry):
    """Through worker_client, from a thread of a worker."""

    def outer(x):
        with worker_client() as client:
            return client.submit(inc, x, key="inner").result()

    assert await c.submit(outer, 1, key="outer") == 2
    inner, outer_ = await telemetry.wait("compute graph", 2)
    assert is_child(inner, outer_)
    assert not inner.links


@gen_cluster(client=True)
async def test_each_worker_tells_its_share(c, s, a, b, telemetry):
    """Its tasks, its seconds, and the times of the first and the last."""
    futures = c.map(slowinc, range(8), delay=0.02)
    await wait(futures)
    (graph,) = await telemetry.wait("compute graph")
    one, other = await telemetry.wait("worker share", 2)
    assert {one.attributes["dask.worker.name"], other.attributes["dask.worker.name"]} == {
        str(a.name),
        str(b.name),
    }
    for share in (one, other):
        assert is_child(share, graph)
        assert share.attributes["dask.tasks.erred"] == 0
        assert share.attributes["dask.compute.duration"] >= share.attributes["dask.tasks"] * 0.02
        assert share.end_time - share.start_time >= 0.02e9
    assert one.attributes["dask.tasks"] + other.attributes["dask.tasks"] == 8


@gen_cluster(client=True, nthreads=[("", 2)])
async def test_a_share_counts_failures(c, s, a, telemetry):
    """And the tasks beside them."""
    futures = c.map(lambda x: 1 / x, range(4))
    await wait(futures)
    (share,) = await telemetry.wait("worker share")
    assert share.attributes["dask.tasks"] == 4
    assert share.attributes["dask.tasks.erred"] == 1


@gen_cluster(client=True, nthreads=[("", 1)])
async def test_closing_a_worker_ends_its_shares(c, s, a, telemetry, monkeypatch):
    """At once, not after the idle time."""
    monkeypatch.setattr(shares, "IDLE", 60)
    await c.submit(inc, 1)
    assert not telemetry.spans("worker share")
    await a.close()
    (share,) = telemetry.spans("worker share")
    assert share.attributes["dask.tasks"] == 1


@gen_cluster(client=True, nthreads=[("", 1)])
async def test_tasks_now_and_then_make_few_shares(c, s, a, telemetry):
    """Each further share of a computation waits twice as long for more."""
    mine = shares.Shares(telemetry.tracer)
    carrier = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}

    worker = SimpleNamespace(name="w", state=SimpleNamespace(tasks={"t": None}))

    from distributed.worker_state_machine import ExecuteSuccessEvent

    done = ExecuteSuccessEvent(
        stimulus_id="", key="t", run_id=1, value=1, start=1.0, stop=2.0, nbytes=1, type=None
    )
    # Tasks 0.5 s apart with an idle time of 0.2: 0.2 and 0.4 are too short for them, 0.8 is not.
    for _ in range(6):

        async def run():
            mine.receive(worker, "t", carrier)
            mine.begin(worker, "t")
            return done

        await asyncio.create_task(run())
        await asyncio.sleep(0.5)
    mine.close()
    tasks = [span.attributes["dask.tasks"] for span in telemetry.spans("worker share")]
    assert sum(tasks) == 6
    assert len(tasks) <= 4
    assert not mine._open


@gen_cluster(client=True, nthreads=[("", 1)])
async def test_open_shares_are_bounded(c, s, a, telemetry, monkeypatch):
    """Beyond the bound the oldest ends early, and nothing is lost."""
    monkeypatch.setattr(shares, "MAX_OPEN", 3)
    monkeypatch.setattr(shares, "IDLE", 60)
    for i in range(6):
        await c.submit(inc, i)
    assert len(telemetry.spans("worker share")) == 3
    await a.close()
    assert len(telemetry.spans("worker share")) == 6


@gen_cluster(client=True, nthreads=[("", 1)])
async def test_tasks_see_the_worker_as_ever(c, s, a, telemetry):
    """`get_worker` and thread names are those of an untraced worker."""

    def look():
        return get_worker().address, threading.current_thread().name

    address, thread = await c.submit(look)
    assert address == a.address
    assert "Dask-Default-Threads" in thread
