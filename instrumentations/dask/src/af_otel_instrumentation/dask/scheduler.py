"""Make a `compute graph` of what arrives at a scheduler, and count its tasks.

The event loop only notes what happened; a thread makes spans and measurements of it.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from af_otel_semconv import attributes, spans
from af_otel_semconv.carriers import DASK_ANNOTATION
from dask.utils import key_split
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import Scheduler
from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context

from af_otel_instrumentation.dask._errors import error_type
from af_otel_instrumentation.dask._hooks import complain, harmless
from af_otel_instrumentation.dask._queue import LIMIT, Queue
from af_otel_instrumentation.dask.graph import CANCELLED, ERROR, Graph, Run, Submission
from af_otel_instrumentation.dask.tasks import TaskMetrics, WorkerCount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

    from af_otel_instrumentation.dask._hooks import Hooks

NAME = "af-otel"

_PASSING = frozenset({"waiting", "queued", "processing", "no-worker"})
_SETTLED = frozenset({"memory", "erred"})

# Computations of one parent, say a cell, that get a span each. Later ones, as a loop of thousands of
# `submit`s makes them, gather in one span until none came for LINGER seconds, twice as long each time.
OWN_SPANS = 50
LINGER = 1.0
MAX_LINGER = 60.0
MAX_PARENTS = 1000
MAX_WORKER_NAMES = 10_000
_CLOSE_TIMEOUT = 5.0


class _Parent:
    """What a client has submitted under one context."""

    __slots__ = ("gathering", "graphs", "linger")

    def __init__(self) -> None:
        self.graphs = 0
        self.linger = LINGER
        self.gathering: Graph | None = None


class GraphPlugin(SchedulerPlugin):  # type: ignore[misc,unused-ignore]
    """Watches one scheduler. Holds keys of tasks that a client waits for, and no task."""

    def __init__(self, scheduler: Any, tracer: Tracer, task_metrics: TaskMetrics) -> None:
        self._scheduler = scheduler
        self._tasks = scheduler.tasks
        self._tracer = tracer
        self._metrics = task_metrics
        self._queue = Queue(self._consume, name="af-otel-dask-scheduler")
        self._wanted: dict[Any, tuple[Submission, ...]] = {}
        self._graphs: dict[int, Graph] = {}
        self._parents: OrderedDict[tuple[str, str], _Parent] = OrderedDict()
        self._worker_names: OrderedDict[str, str] = OrderedDict()
        self._leaving: set[str] = set()
        self._closed = False
        self.overflow = 0

    # Called by the scheduler

    def update_graph(
        self,
        scheduler: Any,
        *,
        client: str,
        keys: Iterable[Any],
        tasks: Iterable[Any],
        annotations: Mapping[str, Mapping[Any, Any]],
        stimulus_id: str,
        **_kwargs: Any,
    ) -> None:
        """Run when a graph has arrived, before its tasks go anywhere."""
        with harmless("Scheduler.update_graph"):
            carrier = _submitted_with(scheduler, annotations)
            start = _arrival(stimulus_id)
            submission = Submission(self._graph_for(client, carrier, start), start)
            self._adopt(submission, tasks)
            self._want(submission, keys)

    def transition(self, key: Any, start: str, finish: str, *_args: Any, **kwargs: Any) -> None:
        """Run five to seven times per task."""
        if finish in _PASSING:
            return
        try:
            if finish == "memory":
                if start == "processing":
                    self._note(key, kwargs, None)
                if key in self._wanted:
                    self._arrived(key, None)
            elif finish == "erred":
                if kwargs.get("cause") == key:  # else it never ran, as what it needs has failed
                    self._note(key, kwargs, kwargs.get("exception"))
                if key in self._wanted:
                    self._arrived(key, ERROR)
            elif key in self._wanted and (finish == "forgotten" or not self._goes_on(key)):
                self._arrived(key, CANCELLED)
        except Exception:
            complain("Scheduler.transition")

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Run when a worker has joined."""
        with harmless("Scheduler.add_worker"):
            self._worker_names[worker] = str(scheduler.workers[worker].name)
            if len(self._worker_names) > MAX_WORKER_NAMES:
                self._worker_names.popitem(last=False)

    def log_event(self, topic: str, msg: Any) -> None:
        """Run on every event; a worker that closes in order says so in one."""
        if isinstance(msg, dict) and msg.get("action") == "closing-worker":
            self._leaving.add(topic)

    def remove_worker(self, scheduler: Any, worker: str, **_kwargs: Any) -> None:  # noqa: ARG002
        """Run when a worker has left."""
        with harmless("Scheduler.remove_worker"):
            if worker not in self._leaving and not self._closed:
                self._metrics.worker_lost()
            self._leaving.discard(worker)

    def restart(self, scheduler: Any) -> None:  # noqa: ARG002
        """Run when a client has the scheduler forget everything."""
        with harmless("Scheduler.restart"):
            self._abandon()

    async def before_close(self) -> None:
        """Run before workers are told to close: that they leave is no loss."""
        self._closed = True

    async def close(self) -> None:
        """Run when the scheduler closes."""
        self.stop()

    def stop(self) -> None:
        """End what is open as cancelled, and the thread."""
        self._closed = True
        with harmless("Scheduler.close"):
            self._abandon()
            self._queue.close(_CLOSE_TIMEOUT)

    # On the event loop

    def _graph_for(self, client: str, carrier: Mapping[str, str], start: float) -> Graph:
        name = (client, carrier.get("traceparent", ""))
        parent = self._parents.get(name)
        if parent is None:
            parent = self._parents[name] = _Parent()
            if len(self._parents) > MAX_PARENTS:
                self._parents.popitem(last=False)
        if parent.gathering is not None:
            parent.gathering.open += 1
            return parent.gathering
        parent.graphs += 1
        linger = 0.0
        if parent.graphs > OWN_SPANS:
            linger, parent.linger = parent.linger, min(MAX_LINGER, 2 * parent.linger)
        graph = self._start(carrier, start, linger)
        if linger:
            parent.gathering = graph
        return graph

    def _start(self, carrier: Mapping[str, str], start: float, linger: float) -> Graph:
        context = propagate.extract(carrier, context=Context())
        span = self._tracer.start_span(
            spans.COMPUTE_GRAPH, context=context, start_time=int(start * 1e9)
        )
        context = trace.set_span_in_context(span, context)
        own: dict[str, str] = {}
        propagate.inject(own, context=context)
        graph = Graph(span, context, own, start, linger)
        graph.open = 1
        self._graphs[id(own)] = graph
        return graph

    def _adopt(self, submission: Submission, keys: Iterable[Any]) -> None:
        """Have tasks that will run carry the graph's context; those another graph brought keep its own."""
        known, graphs, graph = self._tasks, self._graphs, submission.graph
        carrier = graph.carrier
        tasks = 0
        for key in keys:
            task = known.get(key)
            if task is None or task.state in _SETTLED:
                continue
            carried = task.annotations
            if carried is None:
                task.annotations = {DASK_ANNOTATION: carrier}
            else:
                owner = graphs.get(id(carried.get(DASK_ANNOTATION)))
                if owner is not None:
                    if owner is not graph:
                        graph.link(owner)
                    continue
                # A task's own dict: the scheduler, and its extension for Dask's spans, write to it too.
                carried[DASK_ANNOTATION] = carrier
            tasks += 1
        submission.tasks = tasks
        graph.tasks += tasks
        graph.span.set_attribute(attributes.GRAPH_TASKS, graph.tasks)

    def _want(self, submission: Submission, keys: Iterable[Any]) -> None:
        """Wait for what the client wants. All else is needed for that, or is not needed any more."""
        wanted, alone = self._wanted, (submission,)
        for key in keys:
            task = self._tasks.get(key)
            if task is None or task.state == "memory":
                continue
            if task.state == "erred":
                submission.worsen(ERROR)
                continue
            others = wanted.get(key)
            wanted[key] = alone if others is None else others + alone
            submission.missing += 1
        if not submission.missing:
            self._settle(submission)

    def _note(self, key: Any, event: dict[str, Any], exception: Any) -> None:
        queue = self._queue
        if len(queue.notes) >= LIMIT:
            self._overflowed()
            return
        carried = self._tasks[key].annotations
        queue.notes.append(
            (
                key,
                carried and carried.get(DASK_ANNOTATION),
                event.get("worker"),
                event.get("nbytes"),
                event.get("startstops"),
                exception,
            )
        )
        if queue.asleep:
            queue.wake()

    def _goes_on(self, key: Any) -> bool:
        """Tell whether a task that was released will run again, or fail, as its worker is gone."""
        task = self._tasks.get(key)
        return task is not None and bool(task.exception_blame or task.who_wants or task.waiters)

    def _arrived(self, key: Any, outcome: str | None) -> None:
        for submission in self._wanted.pop(key):
            submission.missing -= 1
            if outcome is not None:
                submission.worsen(outcome)
            if not submission.missing:
                self._settle(submission)
        if not self._wanted:
            self._wanted.clear()  # gives back the table of a huge graph

    def _settle(self, submission: Submission) -> None:
        graph = submission.graph
        graph.stop = submission.stop = time.time()
        graph.worsen(submission.outcome)
        graph.open -= 1
        self._queue.put(submission)
        if graph.open:
            return
        if graph.linger and not self._closed:
            asyncio.get_running_loop().call_later(graph.linger, self._lingered, graph, graph.stop)
        else:
            self._end(graph)

    def _lingered(self, graph: Graph, stop: float) -> None:
        if not graph.open and graph.stop == stop:
            self._end(graph)

    def _end(self, graph: Graph) -> None:
        if graph.linger:
            for parent in self._parents.values():
                if parent.gathering is graph:
                    parent.gathering = None
        self._queue.put(graph)

    def _abandon(self) -> None:
        for key in list(self._wanted):
            self._arrived(key, CANCELLED)
        for graph in list(self._graphs.values()):
            if graph.linger and not graph.open:
                self._end(graph)

    def _overflowed(self) -> None:
        self.overflow += 1

    # On the queue's thread

    def _consume(self, note: Any) -> None:
        if isinstance(note, tuple):
            self._ran(*note)
        elif isinstance(note, Submission):
            self._metrics.compute(note, note.graph.context)
        elif self._graphs.pop(id(note.carrier), None) is not None:
            note.finish(self._tracer, self._worker_name)

    def _ran(
        self,
        key: Any,
        carrier: dict[str, str] | None,
        worker: str | None,
        size: int | None,
        startstops: list[dict[str, Any]] | None,
        exception: Any,
    ) -> None:
        prefix = key_split(key)
        start = stop = transfer = 0.0
        for phase in startstops or ():
            if phase["action"] == "compute":
                start, stop = phase["start"], phase["stop"]
            elif phase["action"] == "transfer":
                transfer += max(0.0, phase["stop"] - phase["start"])
        duration = max(0.0, stop - start)
        self._metrics.task(prefix, duration, transfer, size, failed=exception is not None)
        graph = self._graphs.get(id(carrier))
        if graph is not None:
            error = None if exception is None else error_type(exception)
            run = Run(duration, start, stop, worker or "", error)
            graph.part(prefix).add(run, transfer, size)

    def _worker_name(self, address: str) -> str:
        return self._worker_names.get(address, address)


def _submitted_with(
    scheduler: Any, annotations: Mapping[str, Mapping[Any, Any]]
) -> Mapping[str, str]:
    """Return the carrier that the client sent along, empty if it sent none.

    Plugins are told of new tasks' annotations only. The `Computation` has those of a graph all of whose
    tasks are known, too; taken out, so that the next graph does not find them.
    """
    if scheduler.computations:
        carrier = scheduler.computations[-1].annotations.pop(DASK_ANNOTATION, None)
        if carrier:
            return carrier  # type: ignore[no-any-return]
    return next(iter(annotations.get(DASK_ANNOTATION, {}).values()), {})


def _arrival(stimulus_id: str) -> float:
    """Return when the graph came in: unpacking and ordering it can take longer than computing it."""
    now = time.time()
    try:
        arrival = float(stimulus_id.removeprefix("update-graph-"))
    except ValueError:
        return now
    return arrival if now - 3600 < arrival < now else now


def hook(
    hooks: Hooks, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
) -> None:
    """Add a plugin to the schedulers that this process makes, in-process clusters' included."""
    plugins: WeakSet[GraphPlugin] = WeakSet()
    counts: list[WorkerCount] = []

    def make(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            wrapped(self, *args, **kwargs)
            if hooks.active:
                with harmless("Scheduler.__init__"):
                    watch(self)

        return __init__

    def watch(scheduler: Any) -> None:
        tracer = trace.get_tracer(__name__, tracer_provider=tracer_provider)
        meter = metrics.get_meter(__name__, meter_provider=meter_provider)
        if not counts:
            counts.append(WorkerCount(meter))
        counts[0].schedulers.add(scheduler)
        plugin = GraphPlugin(scheduler, tracer, TaskMetrics(meter))
        scheduler.add_plugin(plugin, name=NAME)
        plugins.add(plugin)

    def leave() -> None:
        for plugin in list(plugins):
            plugin._scheduler.plugins.pop(NAME, None)
            plugin.stop()
        for count in counts:
            count.schedulers.clear()

    hooks.wrap(Scheduler, "__init__", make)
    hooks.on_undo(leave)
