"""What the Dask instrumentation costs a scheduler and a worker, in CPU time per task.

A real run of one `map` is recorded through a plugin, then replayed against a plugin that does
nothing and against ours, in one process and interleaved. `loop` is what the scheduler's event loop
pays; `all` adds the thread behind it, with real histograms of the SDK.

    python benchmarks/dask_scheduler.py [TASKS] [ROUNDS]
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from af_otel_instrumentation.dask._queue import LIMIT
from af_otel_instrumentation.dask.scheduler import GraphPlugin
from af_otel_instrumentation.dask.tasks import TaskMetrics
from af_otel_instrumentation.dask.worker import Shares
from distributed import Client, LocalCluster
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.worker_state_machine import ExecuteSuccessEvent
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = tuple[Any, str, str, dict[str, Any]]


class Recorder(SchedulerPlugin):
    """Keeps every call as a scheduler makes it."""

    def __init__(self) -> None:
        self.submitted: list[dict[str, Any]] = []
        self.calls: list[Call] = []

    def update_graph(self, _scheduler: Any, **kwargs: Any) -> None:
        """Keep a submission."""
        self.submitted.append(kwargs)

    def transition(self, key: Any, start: str, finish: str, *_args: Any, **kwargs: Any) -> None:
        """Keep a transition."""
        self.calls.append((key, start, finish, kwargs))


class Nothing(SchedulerPlugin):
    """The floor: called, and returns."""

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


class FakeTask:
    """What the plugin looks at in a TaskState."""

    __slots__ = ("exception_blame", "state", "waiters", "who_wants")

    def __init__(self) -> None:
        self.state = "released"
        self.exception_blame = self.waiters = self.who_wants = None


class FakeScheduler:
    """What the plugin looks at in a Scheduler."""

    def __init__(self, keys: list[Any]) -> None:
        self.tasks = {key: FakeTask() for key in keys}
        self.plugins: dict[str, Any] = {}


def inc(x: int) -> int:
    """Be as small as a task can be."""
    return x + 1


def record(tasks: int) -> Recorder:
    """Run one map on an in-process cluster."""
    recorder = Recorder()
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=4, processes=False, dashboard_address=":0"
        ) as cluster,
        Client(cluster) as client,
    ):
        cluster.scheduler.add_plugin(recorder, name="recorder")
        futures = client.map(inc, range(tasks))
        client.gather(futures)
        del futures
        deadline = time.monotonic() + 60
        while cluster.scheduler.tasks and time.monotonic() < deadline:
            time.sleep(0.1)
    return recorder


def replay(plugin: Any, calls: list[Call], drain: Callable[[], None]) -> float:
    """Return the loop's CPU seconds for all calls, with pauses for the thread to follow."""
    spent = 0.0
    for begin in range(0, len(calls), LIMIT):
        chunk = calls[begin : begin + LIMIT]
        started = time.thread_time()
        for key, start, finish, kwargs in chunk:
            plugin.transition(key, start, finish, **kwargs)
        spent += time.thread_time() - started
        drain()
    return spent


def ours(recorder: Recorder) -> tuple[float, float, float]:
    """Return CPU seconds: submission on the loop, transitions on the loop, and all of it."""
    submitted = recorder.submitted[0]
    scheduler = FakeScheduler(submitted["tasks"])
    tracer = TracerProvider(sampler=ALWAYS_ON).get_tracer("benchmark")
    plugin = GraphPlugin(
        scheduler,
        tracer,
        TaskMetrics(MeterProvider([InMemoryMetricReader()]).get_meter("benchmark")),
    )
    whole, started = time.process_time(), time.thread_time()
    plugin.update_graph(scheduler, **submitted)
    arrival = time.thread_time() - started

    def drain() -> None:
        while plugin._queue.notes:  # noqa: SLF001
            time.sleep(0.01)

    loop = replay(plugin, recorder.calls, drain)
    plugin.finish(60)
    if plugin.overflow:
        sys.exit(f"{plugin.overflow} notes lost: the replay is faster than the thread")
    return arrival, loop, time.process_time() - whole


async def worker(tasks: int, *, entered: bool) -> float:
    """Return CPU seconds of a worker's bookkeeping, or of the loop around it."""

    class State:
        tasks: ClassVar = {"key": None}

    class Worker:
        name = "w"
        state = State()

    carrier = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "baggage": "session.id=c"}
    shares = Shares(TracerProvider().get_tracer("benchmark"))
    done = ExecuteSuccessEvent(
        stimulus_id="", key="key", run_id=1, value=1, start=1.0, stop=2.0, nbytes=1, type=None
    )

    async def execution() -> ExecuteSuccessEvent:
        if entered:
            shares.receive(Worker, "key", carrier)
            shares.begin(Worker, "key")
        return done

    started = time.thread_time()
    for _ in range(tasks):
        await asyncio.create_task(execution())
    spent = time.thread_time() - started
    shares.close()
    return spent


def main(tasks: int = 10_000, rounds: int = 7) -> None:
    """Measure and print."""
    recorder = record(tasks)
    gc.collect()
    gc.freeze()  # the recording itself is no part of what a scheduler holds
    rows: dict[str, list[float]] = {
        "scheduler: plugin that does nothing (loop)": [],
        "scheduler: transitions (loop)": [],
        "scheduler: arrival of the graph (loop)": [],
        "scheduler: all of it, thread and histograms (all)": [],
        "worker: a task's context and share": [],
    }
    nothing, loop, arrival, whole, worker_row = rows.values()
    for _ in range(rounds):
        nothing.append(replay(Nothing(), recorder.calls, lambda: None))
        measured = ours(recorder)
        arrival.append(measured[0])
        loop.append(measured[1])
        whole.append(measured[2])
        worker_row.append(
            asyncio.run(worker(tasks, entered=True)) - asyncio.run(worker(tasks, entered=False))
        )
    print(f"{tasks} tasks, {len(recorder.calls) / tasks:.2f} transitions each, {rounds} rounds")
    print(f"{'us of CPU per task':50} {'median':>7} {'min':>7}")
    for name, seconds in rows.items():
        median, least = statistics.median(seconds), min(seconds)
        print(f"{name:50} {median / tasks * 1e6:7.2f} {least / tasks * 1e6:7.2f}")
    ratio = statistics.median(loop) / statistics.median(nothing)
    print(f"transitions on the loop are {ratio:.2f} x those of a plugin that does nothing")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
