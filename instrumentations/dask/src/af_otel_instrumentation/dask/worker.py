"""Run tasks inside their computation's context, and tell what share of it this worker had.

One `worker share` span stands for all tasks of a computation on a worker. It is made when the
worker has had none of them for a while, with the times of the first and the last.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from af_otel_instrumentation.dask._hooks import complain, harmless, monotonic
from af_otel_semconv import attributes, spans
from af_otel_semconv.carriers import DASK_ANNOTATION, DASK_NO_SHARE
from distributed.worker import Worker
from distributed.worker_state_machine import (
    ComputeTaskEvent,
    ExecuteFailureEvent,
    ExecuteSuccessEvent,
)
from opentelemetry import context, propagate, trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel_instrumentation.dask._hooks import Hooks
    from opentelemetry.trace import Tracer, TracerProvider

# A share ends after this long without a task; a computation's next one waits twice as long, so that
# tasks which come every few seconds for hours make a dozen spans and not thousands.
IDLE = 1.0
MAX_IDLE = 300.0
# Shares that a worker keeps open; beyond that the oldest end early.
MAX_OPEN = 1000


class _Share:
    """What a worker has done of one computation since it was last idle in it."""

    __slots__ = (
        "compute",
        "context",
        "erred",
        "idle_since",
        "patience",
        "recorded",
        "running",
        "start",
        "stop",
        "tasks",
        "worker",
    )

    def __init__(self, worker: str, carrier: dict[str, str], patience: float) -> None:
        self.worker = worker
        self.context = propagate.extract(carrier, context=context.Context())
        self.patience = patience
        # The trace may be full, which only the scheduler knows.
        self.recorded = DASK_NO_SHARE not in carrier
        self.running = self.tasks = self.erred = 0
        self.start = self.stop = self.compute = 0.0
        self.idle_since = 0.0


class Shares:
    """The shares of one worker; used on its event loop only."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._open: OrderedDict[str, _Share] = OrderedDict()
        self._patience: OrderedDict[str, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._carriers: dict[Any, dict[str, str]] = {}

    def receive(self, worker: Any, key: Any, carrier: dict[str, str]) -> None:
        """Keep the carrier of a task that has arrived."""
        carriers = self._carriers
        carriers[key] = carrier
        if len(carriers) > 2 * len(worker.state.tasks) + MAX_OPEN:
            # Of tasks that were cancelled before they ran.
            known = worker.state.tasks
            self._carriers = {key: kept for key, kept in carriers.items() if key in known}
            self._carriers[key] = carrier

    def begin(self, worker: Any, key: Any) -> None:
        """Enter a task's computation until the current asyncio task, its execution, is done."""
        carrier = self._carriers.pop(key, None)
        execution = asyncio.current_task()
        if not carrier or execution is None:
            return
        name = carrier.get("traceparent", "")
        share = self._open.get(name)
        if share is None:
            if len(self._open) >= MAX_OPEN:
                self._end_oldest()
            share = self._open[name] = _Share(
                str(worker.name), carrier, self._patience.get(name, IDLE)
            )
        share.running += 1
        # Never detached: the asyncio task has a context of its own, which ends with it.
        context.attach(share.context)
        execution.add_done_callback(partial(self._executed, share))

    def _executed(self, share: _Share, execution: asyncio.Task[Any]) -> None:
        try:
            failed = execution.cancelled() or execution.exception() is not None
            self.end(share, None if failed else execution.result())
        except Exception:
            complain("Worker.execute")

    def end(self, share: _Share, outcome: Any) -> None:
        """Count a task that ended; the outcome is None if it was cut short."""
        share.running -= 1
        failed = isinstance(outcome, ExecuteFailureEvent)
        if (failed or isinstance(outcome, ExecuteSuccessEvent)) and outcome.start is not None:
            share.tasks += 1
            share.erred += failed
            share.compute += max(0.0, outcome.stop - outcome.start)
            share.start = min(share.start or outcome.start, outcome.start)
            share.stop = max(share.stop, outcome.stop)
        if share.running == 0:
            share.idle_since = monotonic()
            if self._closed:
                self.close()
            elif self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(IDLE, self._sweep)

    def close(self) -> None:
        """End the shares that are idle; the others end with their last task."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in [name for name, share in self._open.items() if not share.running]:
            self._end(name)

    def _sweep(self) -> None:
        self._timer = None
        with harmless("worker share"):
            now = monotonic()
            idle = {name: share for name, share in self._open.items() if not share.running}
            for name, share in idle.items():
                if now - share.idle_since >= share.patience:
                    self._end(name)
            if any(name in self._open for name in idle):
                self._timer = asyncio.get_running_loop().call_later(IDLE, self._sweep)

    def _end_oldest(self) -> None:
        idle = (name for name, share in self._open.items() if not share.running)
        self._end(next(idle, next(iter(self._open))))

    def _end(self, name: str) -> None:
        share = self._open.pop(name)
        if not share.tasks or not share.recorded:
            return
        self._patience[name] = min(MAX_IDLE, 2 * share.patience)
        self._patience.move_to_end(name)
        if len(self._patience) > MAX_OPEN:
            self._patience.popitem(last=False)
        self._tracer.start_span(
            spans.WORKER_SHARE,
            context=share.context,
            start_time=int(share.start * 1e9),
            attributes={
                attributes.WORKER_NAME: share.worker,
                attributes.TASKS: share.tasks,
                attributes.TASKS_ERRED: share.erred,
                attributes.COMPUTE_DURATION: share.compute,
            },
        ).end(int(share.stop * 1e9))


def hook(hooks: Hooks, tracer_provider: TracerProvider | None) -> None:
    """Hook the workers that this process makes.

    Users' tasks, and plugins of theirs, run below none of these hooks.
    """
    shares: WeakKeyDictionary[Any, Shares] = WeakKeyDictionary()

    def make_handler(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def _handle_remote_stimulus(self: Any, cls: Any) -> Any:
            if hooks.active and cls is ComputeTaskEvent:
                with harmless("Worker._handle_remote_stimulus"):
                    tracer = trace.get_tracer(
                        "af_otel_instrumentation.dask.worker", tracer_provider=tracer_provider
                    )
                    mine = shares[self] = Shares(tracer)
                    cls = _receiving(self, mine)
            return wrapped(self, cls)

        return _handle_remote_stimulus

    def execute(worker: Any, key: Any, **_kwargs: Any) -> None:
        # Called in the asyncio task that runs this Dask task and nothing else. `distributed` hands
        # its context to the executor's thread. A process pool gets none.
        mine = shares.get(worker)
        if mine is not None:
            mine.begin(worker, key)

    def close(worker: Any, *_args: Any, **_kwargs: Any) -> None:
        # What is idle ends now: a nanny may kill the process before the worker has closed.
        mine = shares.get(worker)
        if mine is not None:
            mine.close()

    hooks.wrap(Worker, "_handle_remote_stimulus", make_handler)
    hooks.before(Worker, "execute", execute)
    hooks.before(Worker, "close", close)


def _receiving(worker: Any, shares: Shares) -> Callable[..., ComputeTaskEvent]:
    """Return what makes a task's event of its message, without the carrier in it."""

    def receive(**message: Any) -> ComputeTaskEvent:
        try:
            carrier = message["annotations"].pop(DASK_ANNOTATION, None)
            if carrier:
                shares.receive(worker, message["key"], carrier)
        except Exception:
            complain("Worker._handle_remote_stimulus")
        return ComputeTaskEvent(**message)

    receive.__name__ = ComputeTaskEvent.__name__  # part of the handler's name
    return receive
