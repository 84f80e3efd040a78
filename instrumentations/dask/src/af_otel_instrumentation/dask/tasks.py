"""Metrics of the scheduler: every task, every computation, every worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from af_otel_instrumentation.dask.graph import ERROR, OK
from af_otel_semconv import attributes, metrics
from opentelemetry.metrics import CallbackOptions, Observation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from af_otel_instrumentation.dask.submissions import Submission
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter


class TaskMetrics:
    """The instruments of one scheduler; `task` and `compute` are called off its event loop."""

    def __init__(self, meter: Meter) -> None:
        self._duration = meter.create_histogram(**metrics.TASK_DURATION.histogram)
        self._transfer = meter.create_histogram(**metrics.TASK_TRANSFER_DURATION.histogram)
        self._compute = meter.create_histogram(**metrics.COMPUTE_DURATION.histogram)
        self._tasks = meter.create_histogram(**metrics.COMPUTE_TASKS.histogram)
        self._lost = meter.create_counter(**metrics.WORKER_LOST.plain)
        # Made once per prefix: each task would otherwise build its dicts anew.
        self._attributes: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {}

    def task(self, prefix: str, compute: float, transfer: float, *, failed: bool) -> None:
        """Count one task that ran, or that its worker did not survive."""
        known = self._attributes.get(prefix)
        if known is None:
            known = self._of(prefix)
        plain, ok, error = known
        self._duration.record(compute, error if failed else ok)
        if transfer:
            self._transfer.record(transfer, plain)

    def compute(self, submission: Submission, context: Context) -> None:
        """Count one graph; its context lets an exemplar lead from the metric to the trace."""
        outcome = {attributes.GRAPH_OUTCOME: submission.outcome}
        self._compute.record(submission.stop - submission.start, outcome, context)
        self._tasks.record(submission.tasks, outcome, context)

    def worker_lost(self) -> None:
        """Count one worker that left without a word."""
        self._lost.add(1)

    def _of(self, prefix: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if len(self._attributes) >= metrics.MAX_PREFIXES and prefix != attributes.OTHER:
            return self._attributes.get(attributes.OTHER) or self._of(attributes.OTHER)
        plain = {attributes.TASK_PREFIX: prefix}
        made = (
            plain,
            {**plain, attributes.TASK_OUTCOME: OK},
            {**plain, attributes.TASK_OUTCOME: ERROR},
        )
        self._attributes[prefix] = made
        return made


class WorkerCount:
    """Workers of this process' schedulers by state, looked at when metrics are collected.

    Not a counter of arrivals: those before the SDK is there would be missing for ever.
    """

    def __init__(self, meter: Meter) -> None:
        self.schedulers: WeakSet[Any] = WeakSet()
        meter.create_observable_gauge(callbacks=[self._observe], **metrics.WORKER_COUNT.plain)

    def _observe(self, _options: CallbackOptions) -> Iterable[Observation]:
        states = dict.fromkeys(("idle", "running", "paused", "retiring"), 0)
        for scheduler in list(self.schedulers):
            if scheduler.status.name == "closed":
                continue
            # `dict`'s, as the class' own walks its sorted keys while the event loop changes them.
            for worker in list(dict.values(scheduler.workers)):
                states[_state(worker)] += 1
        return [
            Observation(count, {attributes.WORKER_STATE: state}) for state, count in states.items()
        ]


def _state(worker: Any) -> str:
    status = worker.status.name
    if status == "running":
        return "running" if worker.processing else "idle"
    return "paused" if status == "paused" else "retiring"
