"""Metrics: every task, every computation, every worker."""

from __future__ import annotations

import asyncio

import pytest
from af_otel_instrumentation.dask import _queue
from af_otel_instrumentation.dask.scheduler import plugin_of
from af_otel_semconv import metrics
from dask import delayed
from dasks import instrumented, until
from distributed import Worker, wait
from distributed.utils_test import gen_cluster, inc, slowinc


@pytest.fixture
def telemetry():
    with instrumented() as telemetry:
        yield telemetry


async def drained(scheduler):
    """Wait until all notes were worked off."""
    queue = plugin_of(scheduler)._queue
    await until(lambda: queue.asleep and not queue.notes)


@gen_cluster(client=True)
async def test_every_task_is_counted(c, s, a, b, telemetry):
    """By prefix and outcome, whatever becomes of its graph."""
    good = c.map(inc, range(200), key="good")
    bad = c.map(lambda x: 1 / (x - x), range(7), key="bad")
    await wait(good + bad)
    await drained(s)
    assert telemetry.counts("dask.task.duration") == {("good", "ok"): 200, ("bad", "error"): 7}


@gen_cluster(client=True)
async def test_durations_are_those_of_the_tasks(c, s, a, b, telemetry):
    """In seconds."""
    await c.gather(c.map(slowinc, range(4), delay=0.05, key="slow"))
    await drained(s)
    ((_, point),) = telemetry.points("dask.task.duration")
    assert point.count == 4
    assert point.sum >= 0.2
    assert point.min >= 0.05


@gen_cluster(client=True)
async def test_transfers_are_measured(c, s, a, b, telemetry):
    """Of tasks that waited for data of another worker, and of no other."""
    data = c.submit(bytes, 5_000_000, workers=[a.address], key="data")
    size = c.submit(len, data, workers=[b.address], key="size")
    assert await size == 5_000_000
    await drained(s)
    assert telemetry.counts("dask.task.transfer.duration") == {("size",): 1}


@gen_cluster(client=True)
async def test_prefixes_are_bounded(c, s, a, b, telemetry):
    """Later ones are counted together."""
    tasks = [
        delayed(inc)(i, dask_key_name=f"{chr(97 + i // 26)}{chr(97 + i % 26)}x-{i}")
        for i in range(metrics.MAX_PREFIXES + 10)
    ]
    await c.gather(c.compute(tasks))
    await drained(s)
    counts = telemetry.counts("dask.task.duration")
    assert len(counts) == metrics.MAX_PREFIXES + 1
    assert sum(counts.values()) == metrics.MAX_PREFIXES + 10
    assert counts["other", "ok"] >= 10


@gen_cluster(client=True)
async def test_a_key_that_is_an_address_names_nothing(c, s, a, b, telemetry):
    """It may hold a token, which no label may, and no span's name."""
    keys = (
        "root://eos//f.root?authz=Bearer%20canary-0",
        "https://canary:canary@host/f.root",
        "/store/f.root?authz=canary",
        "canary" * 100,
    )
    for key in keys:
        await c.submit(inc, 1, key=key)
    await drained(s)
    assert telemetry.counts("dask.task.duration") == {("other", "ok"): len(keys)}
    await telemetry.wait("run tasks other", len(keys))
    assert not [span for span in telemetry.spans() if "canary" in span.to_json()]


@gen_cluster(client=True)
async def test_computations_are_counted_with_their_size(c, s, a, b, telemetry):
    """By outcome."""
    await c.gather(c.map(inc, range(30)))
    await wait(c.submit(lambda: 1 / 0))
    await drained(s)
    assert telemetry.counts("dask.compute.duration") == {("ok",): 1, ("error",): 1}
    sums = {values: point.sum for values, point in telemetry.points("dask.compute.tasks")}
    assert sums == {("ok",): 30, ("error",): 1}


@gen_cluster(client=True)
async def test_workers_are_counted_by_state(c, s, a, b, telemetry):
    """What the scheduler thinks of each, at collection."""
    assert telemetry.values("dask.worker.count") == {
        ("idle",): 2,
        ("running",): 0,
        ("paused",): 0,
        ("retiring",): 0,
    }
    future = c.submit(slowinc, 1, delay=1, workers=[a.address])
    await until(lambda: telemetry.values("dask.worker.count")["running",] == 1)
    await future
    await b.close()
    await until(lambda: sum(telemetry.values("dask.worker.count").values()) == 1)


@gen_cluster(client=True)
async def test_orderly_departures_are_no_losses(c, s, a, b, telemetry):
    """Neither a worker that closes, nor one that is retired."""
    await a.close()
    await c.retire_workers([b.address])
    await until(lambda: not s.workers)
    await asyncio.sleep(0.2)
    assert telemetry.values("dask.worker.lost") == {}


@gen_cluster(client=True)
async def test_a_worker_that_vanishes_is_lost(c, s, a, b, telemetry):
    """Its connection broke, and it had not said that it would close."""
    async with Worker(s.address, nthreads=1) as w:
        await until(lambda: len(s.workers) == 3)
        w.periodic_callbacks["heartbeat"].stop()
        w.batched_stream.comm.abort()
        await until(lambda: len(s.workers) == 2)
        await until(lambda: telemetry.values("dask.worker.lost") == {(): 1})


@gen_cluster(client=True)
async def test_a_flood_is_bounded_and_ends_its_graph(c, s, a, b, telemetry, monkeypatch):
    """Notes beyond the limit are dropped and counted; completion does not depend on them."""
    monkeypatch.setattr("af_otel_instrumentation.dask.scheduler.LIMIT", 10)
    monkeypatch.setattr(_queue, "_GATHER", 1.0)
    await c.gather(c.map(inc, range(100)))
    (graph,) = await telemetry.wait("compute graph")
    plugin = plugin_of(s)
    counted = sum(telemetry.counts("dask.task.duration").values())
    assert plugin.overflow > 0
    assert plugin.overflow + counted == 100
    assert graph.attributes["dask.graph.tasks"] == 100
    assert graph.attributes["dask.graph.outcome"] == "ok"


@gen_cluster(client=True)
async def test_scattered_data_is_no_task(c, s, a, b, telemetry):
    """It came from the client, and nothing ran."""
    await c.scatter([1, 2, 3])
    await drained(s)
    assert telemetry.counts("dask.task.duration") == {}
    assert not telemetry.spans("compute graph")
