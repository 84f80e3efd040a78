"""Run tasks inside their computation's context, and tell what share of it this worker had.

One `worker share` span stands for all tasks of a computation on a worker. It is made when the
worker has had none of them for a while, with the times of the first and the last.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from af_otel_instrumentation.dask._hooks import complain, harmless, monotonic
from af_otel_semconv import attributes, spans
from af_otel_semconv.carriers import DASK_ANNOTATION
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

    def receive(self, worker: Any, event: ComputeTaskEvent) -> None:
        """Take the carrier out of a task's annotations, before the worker has the task."""
        carrier = event.annotations.pop(DASK_ANNOTATION, None)
        if not carrier:
            return
        carriers = self._carriers
        carriers[event.key] = carrier
        if len(carriers) > 2 * len(worker.state.tasks) + MAX_OPEN:
            # Of tasks that were cancelled before they ran.
            self._carriers = {key: carriers[key] for key in carriers if key in worker.state.tasks}
            self._carriers[event.key] = carrier

    def begin(self, worker: Any, key: Any) -> _Share | None:
        """Enter the task's computation: its context becomes current in this asyncio task."""
        carrier = self._carriers.pop(key, None)
        if not carrier:
            return None
        name = carrier.get("traceparent", "")
        share = self._open.get(name)
        if share is None:
            if len(self._open) >= MAX_OPEN:
                self._end_oldest()
            share = self._open[name] = _Share(
                str(worker.name), carrier, self._patience.get(name, IDLE)
            )
        share.running += 1
        # Never detached: this is the asyncio task of one execution, and its context ends with it.
        context.attach(share.context)
        return share

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

    def close(self, *, running: bool = False) -> None:
        """End the shares that are idle, or all; later ones end with their last task."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in [name for name, share in self._open.items() if running or not share.running]:
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
        if not share.tasks:
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
    """Hook the workers that this process makes."""
    shares: WeakKeyDictionary[Any, Shares] = WeakKeyDictionary()

    def make_init(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:  # noqa: N807
            wrapped(self, *args, **kwargs)
            if hooks.active:
                with harmless("Worker.__init__"):
                    tracer = trace.get_tracer(
                        "af_otel_instrumentation.dask.worker", tracer_provider=tracer_provider
                    )
                    shares[self] = Shares(tracer)

        return __init__

    def make_close(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        async def close(self: Any, *args: Any, **kwargs: Any) -> Any:
            # First what is idle: a nanny that loses its patience kills the process meanwhile.
            end_shares(self, running=False)
            try:
                return await wrapped(self, *args, **kwargs)
            finally:
                end_shares(self, running=True)

        return close

    def end_shares(worker: Any, *, running: bool) -> None:
        with harmless("Worker.close"):
            mine = shares.get(worker)
            if mine is not None:
                mine.close(running=running)

    hooks.wrap(Worker, "__init__", make_init)
    hooks.wrap(Worker, "handle_stimulus", lambda wrapped: _before_handling(shares, wrapped))
    hooks.wrap(Worker, "execute", lambda wrapped: _around_execute(hooks, shares, wrapped))
    hooks.wrap(Worker, "close", make_close)


def _before_handling(
    shares: WeakKeyDictionary[Any, Shares], wrapped: Callable[..., Any]
) -> Callable[..., Any]:
    """Take carriers out of the tasks that arrive, before the worker's state has them."""

    def handle_stimulus(self: Any, *events: Any) -> Any:
        try:
            for event in events:
                if isinstance(event, ComputeTaskEvent) and DASK_ANNOTATION in event.annotations:
                    mine = shares.get(self)
                    if mine is None:
                        event.annotations.pop(DASK_ANNOTATION)
                    else:
                        mine.receive(self, event)
        except Exception:
            complain("Worker.handle_stimulus")
        return wrapped(self, *events)

    return handle_stimulus


def _around_execute(
    hooks: Hooks, shares: WeakKeyDictionary[Any, Shares], wrapped: Callable[..., Any]
) -> Callable[..., Any]:
    """Enter a task's computation around its execution.

    `execute` has an asyncio task of its own for each Dask task, and `distributed` hands its context
    to the executor's thread. A process pool gets none.
    """

    async def execute(self: Any, key: Any, *args: Any, **kwargs: Any) -> Any:
        mine = shares.get(self) if hooks.active else None
        if mine is None:
            return await wrapped(self, key, *args, **kwargs)
        share = outcome = None
        try:
            share = mine.begin(self, key)
        except Exception:
            complain("Worker.execute")
        try:
            outcome = await wrapped(self, key, *args, **kwargs)
        finally:
            if share is not None:
                try:
                    mine.end(share, outcome)
                except Exception:
                    complain("Worker.execute")
        return outcome

    return execute
