"""Make a `compute graph` of what arrives at a scheduler, and count its tasks.

The event loop only notes what happened; a thread makes spans and measurements of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from af_otel_instrumentation.dask._errors import error_type
from af_otel_instrumentation.dask._hooks import complain, harmless, wall_time
from af_otel_instrumentation.dask._peer import is_traced
from af_otel_instrumentation.dask._queue import EXIT_TIMEOUT, LIMIT, Queue
from af_otel_instrumentation.dask.graph import ERROR, Run
from af_otel_instrumentation.dask.submissions import Submission, Submissions
from af_otel_instrumentation.dask.tasks import TaskMetrics, WorkerCount
from af_otel_semconv import attributes, secrets
from af_otel_semconv.carriers import DASK_ANNOTATION
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import Scheduler
from opentelemetry import metrics, trace

from dask.utils import key_split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from af_otel_instrumentation.dask._hooks import Hooks
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Tracer, TracerProvider

_PASSING = frozenset({"waiting", "queued", "processing", "no-worker"})
_MAX_WORKER_NAMES = 10_000
# Keys may be anything; as names of spans and metrics they are to be few and short.
_LONGEST = 100
_SEARCHED = 4096
_PREFIXES = 10_000
_ADDRESS = re.compile(r"://|[?@]")
_SECRET = re.compile("|".join(f"(?:{each})" for each in secrets.VALUES), re.IGNORECASE | re.ASCII)

# The carrier that came with the graph which the scheduler takes in, within that call.
_submitted_with: ContextVar[Mapping[str, str]] = ContextVar("af_otel_submitted_with")
_NOTHING: Mapping[str, str] = {}


# Whether the worker that is joining is traced, within that call.
_joining_traced: ContextVar[bool] = ContextVar("af_otel_joining_traced")


class _Plugins(dict[str, Any]):
    """A scheduler's plugins, among which users and other plugins do not find ours by its name.

    Dask looks plugins up by name, and calls `values()` to call them all.
    """

    def __init__(self, plugins: Mapping[str, Any], ours: GraphPlugin) -> None:
        super().__init__(plugins)
        self.ours = ours

    def values(self) -> Any:
        return [*dict.values(self), self.ours]  # called on each transition: `super` is slow

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


class GraphPlugin(SchedulerPlugin):  # type: ignore[misc,unused-ignore]
    """Watches one scheduler.

    Attributes
    ----------
    overflow
        Tasks that ended while too many notes were waiting: their graphs end as they should, but
        their times are nowhere.
    """

    def __init__(self, scheduler: Any, tracer: Tracer, task_metrics: TaskMetrics) -> None:
        self.overflow = 0
        self._scheduler = scheduler
        self._tracer = tracer
        self._metrics = task_metrics
        self._queue = Queue(self._consume, name="af-otel-dask-scheduler")
        self._traced: set[str] = set()
        self._submissions = Submissions(
            scheduler.tasks, tracer, self._queue.put, workers=self._traced
        )
        self._wanted = self._submissions.wanted
        self._carriers = self._submissions.carriers
        self._worker_names: OrderedDict[str, str] = OrderedDict()
        self._leaving: set[str] = set()
        self._closed = False

    def update_graph(
        self,
        scheduler: Any,  # noqa: ARG002
        *,
        client: str,
        keys: Iterable[Any],
        tasks: Iterable[Any],
        stimulus_id: str,
        **_kwargs: Any,
    ) -> None:
        """Run when a graph has arrived, before its tasks go anywhere."""
        with harmless("Scheduler.update_graph"):
            arrival = _arrival(stimulus_id)
            self._submissions.add(client, _submitted_with.get(_NOTHING), arrival, tasks, keys)

    def transition(self, key: Any, start: str, finish: str, *_args: Any, **kwargs: Any) -> None:
        """Run five to seven times per task."""
        if finish in _PASSING:
            return
        try:
            if finish == "memory":
                if start == "processing":
                    self._note(key, kwargs, None)
                if key in self._wanted:
                    self._submissions.arrived(key)
            elif finish == "erred":
                if kwargs.get("cause") == key:  # else it never ran, as what it needs has failed
                    self._note(key, kwargs, kwargs.get("exception"))
                if key in self._wanted:
                    self._submissions.arrived(key, ERROR)
            else:
                self._left(key, forgotten=finish == "forgotten")
        except Exception:
            complain("Scheduler.transition")

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Run when a worker has joined."""
        with harmless("Scheduler.add_worker"):
            self._leaving.discard(worker)
            if _joining_traced.get(False):
                self._traced.add(worker)
            self._worker_names[worker] = str(scheduler.workers[worker].name)
            if len(self._worker_names) > _MAX_WORKER_NAMES:
                self._worker_names.popitem(last=False)

    def log_event(self, topic: str, msg: Any) -> None:
        """Run on every event: in one, a worker says that it closes, or that it was retired."""
        if not isinstance(msg, dict):
            return
        action = msg.get("action")
        if (action == "closing-worker" and topic in self._scheduler.workers) or (
            action == "remove-worker" and msg.get("expected")
        ):
            self._leaving.add(topic)

    def remove_worker(self, scheduler: Any, worker: str, **_kwargs: Any) -> None:  # noqa: ARG002
        """Run when a worker has left."""
        with harmless("Scheduler.remove_worker"):
            if worker not in self._leaving and not self._closed:
                self._metrics.worker_lost()
            self._leaving.discard(worker)
            self._traced.discard(worker)

    def restart(self, scheduler: Any) -> None:  # noqa: ARG002
        """Run when a client has the scheduler forget everything."""
        with harmless("Scheduler.restart"):
            self._submissions.abandon()

    async def before_close(self) -> None:
        """Run before workers are told to close: that they leave is no loss."""
        self._closed = True

    async def close(self) -> None:
        """Run when the scheduler closes."""
        self.stop()

    def message(self, task: Any, message: dict[str, Any]) -> None:
        """Add the task's carrier to the message that sends it to a traced worker."""
        carrier = self._carriers.get(task.key)
        if carrier and task.processing_on.address in self._traced:
            message["annotations"] = {**message["annotations"], DASK_ANNOTATION: carrier}

    def stop(self) -> None:
        """End what is open as cancelled. The thread that makes spans of it ends by itself."""
        self._closed = True
        with harmless("Scheduler.close"):
            self._submissions.close()
            self._queue.close()

    def finish(self, timeout: float) -> None:
        """Stop, and wait for the spans; not on an event loop."""
        self.stop()
        self._queue.finish(timeout)

    def _left(self, key: Any, *, forgotten: bool) -> None:
        if forgotten:
            self._carriers.pop(key, None)
        if key in self._wanted:
            self._submissions.released(key, forgotten=forgotten)

    def _note(self, key: Any, event: dict[str, Any], exception: Any) -> None:
        queue = self._queue
        if queue.closed:
            return
        if len(queue.notes) >= LIMIT:
            self.overflow += 1
            return
        queue.notes.append((key, self._carriers.get(key), event, exception))
        if queue.asleep:
            queue.wake()

    # On the queue's thread

    def _consume(self, note: Any) -> None:
        if isinstance(note, tuple):
            self._ran(*note)
        elif isinstance(note, Submission):
            self._metrics.compute(note, note.graph.context)
        elif self._submissions.graphs.pop(id(note.carrier), None) is not None:
            note.finish(self._tracer, self._worker_name)

    def _ran(
        self, key: Any, carrier: dict[str, str] | None, event: dict[str, Any], exception: Any
    ) -> None:
        prefix = _prefix(key)
        start = stop = transfer = 0.0
        for phase in event.get("startstops") or ():
            if phase["action"] == "compute":
                start, stop = phase["start"], phase["stop"]
            elif phase["action"] == "transfer":
                transfer += max(0.0, phase["stop"] - phase["start"])
        duration = max(0.0, stop - start)
        size = event.get("nbytes")
        self._metrics.task(prefix, duration, transfer, failed=exception is not None)
        graph = self._submissions.graphs.get(id(carrier))
        if graph is not None:
            error = None if exception is None else error_type(exception)
            run = Run(duration, start, stop, event.get("worker") or "", error)
            graph.part(prefix).add(run, transfer, size)

    def _worker_name(self, address: str) -> str:
        return self._worker_names.get(address, address)


_names: dict[str, str] = {}  # of prefixes, as they are exported


def _prefix(key: Any) -> str:
    """Return Dask's prefix of a key; `other` for an address or what looks like a credential.

    The whole key is searched, as a prefix may be a part of a credential that looks like none.
    """
    prefix: str = key_split(key)
    name = _names.get(prefix)
    if name is None:
        if len(_names) >= _PREFIXES:
            _names.clear()
        text = str(key)[:_SEARCHED]
        odd = len(prefix) > _LONGEST or _ADDRESS.search(prefix) or _SECRET.search(text)
        name = _names[prefix] = attributes.OTHER if odd else prefix
    return name


def _arrival(stimulus_id: str) -> float:
    """Return when the graph came in: to unpack and order it can take longer than to compute it."""
    now = wall_time()
    try:
        arrival = float(stimulus_id.removeprefix("update-graph-"))
    except ValueError:
        return now
    return arrival if now - 3600 < arrival < now else now


def _receive(_scheduler: Any, *_args: Any, **kwargs: Any) -> None:
    """Take the carrier out of what a client sends, and keep it for the plugin.

    Dask would take it for an annotation of each task, and show it to plugins. The variable stays
    set in the asyncio task that reads this client's messages, until its next graph.
    """
    _submitted_with.set(_NOTHING)
    _submitted_with.set((kwargs.get("annotations") or {}).pop(DASK_ANNOTATION, _NOTHING))


def _join(_scheduler: Any, comm: Any, *_args: Any, **_kwargs: Any) -> None:
    _joining_traced.set(is_traced(comm))


def _make_message(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Send a task's carrier along with it."""

    def _task_to_msg(self: Any, ts: Any, *args: Any, **kwargs: Any) -> Any:
        message = wrapped(self, ts, *args, **kwargs)
        try:
            plugin = plugin_of(self)
            if plugin is not None:
                plugin.message(ts, message)
        except Exception:
            complain("Scheduler._task_to_msg")
        return message

    return _task_to_msg


def plugin_of(scheduler: Any) -> GraphPlugin | None:
    """Return what watches a scheduler; None if it is not traced."""
    return getattr(scheduler.plugins, "ours", None)


def hook(
    hooks: Hooks, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
) -> None:
    """Watch the schedulers that this process starts, in-process clusters' included."""
    schedulers: WeakSet[Any] = WeakSet()
    counts: list[WorkerCount] = []

    def watch(scheduler: Any) -> None:
        if plugin_of(scheduler) is not None:
            return
        tracer = trace.get_tracer(
            "af_otel_instrumentation.dask.scheduler", tracer_provider=tracer_provider
        )
        meter = metrics.get_meter(
            "af_otel_instrumentation.dask.scheduler", meter_provider=meter_provider
        )
        if not counts:
            counts.append(WorkerCount(meter))
        counts[0].schedulers.add(scheduler)
        plugin = GraphPlugin(scheduler, tracer, TaskMetrics(meter))
        scheduler.plugins = _Plugins(scheduler.plugins, plugin)
        schedulers.add(scheduler)

    def leave() -> None:
        for scheduler in list(schedulers):
            plugin = plugin_of(scheduler)
            scheduler.plugins = dict(scheduler.plugins)
            if plugin is not None:
                plugin.finish(EXIT_TIMEOUT)
        for count in counts:
            count.schedulers.clear()

    hooks.before(Scheduler, "start_unsafe", watch)
    hooks.before(Scheduler, "add_worker", _join)
    hooks.before(Scheduler, "update_graph", _receive)
    hooks.wrap(Scheduler, "_task_to_msg", _make_message)
    hooks.on_undo(leave)
