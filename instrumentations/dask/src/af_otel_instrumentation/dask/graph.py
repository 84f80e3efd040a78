"""What the scheduler knows of one `compute graph`, and the spans it becomes."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, NamedTuple

from af_otel_semconv import attributes, spans
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

if TYPE_CHECKING:
    from collections.abc import Callable

    from af_otel_instrumentation.dask._budget import Budget
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

OK = "ok"
ERROR = "error"
CANCELLED = "cancelled"
_BADNESS = (OK, CANCELLED, ERROR)

# Task prefixes that a graph tells apart, then `other`; and the tasks of each that get a span.
MAX_PARTS = 200
MAX_FAILED = 5
MAX_SLOW = 5
# A slow task takes longer than this, and this many times the mean of its prefix.
SLOW = 1.0
SLOW_TIMES_MEAN = 10
# Spans of single tasks in one graph: the parts and the shares of 200 workers fit in beside them.
MAX_TASKS = spans.MAX_SPANS_PER_GRAPH - 2 * MAX_PARTS - 1
MAX_LINKS = 32


class Run(NamedTuple):
    """A task that ran; times are epoch seconds by the scheduler's clock."""

    duration: float
    start: float
    stop: float
    worker: str
    error: str | None


class Part:
    """The tasks of one prefix in a graph."""

    __slots__ = (
        "compute",
        "erred",
        "error",
        "failed",
        "size",
        "slow",
        "start",
        "stop",
        "tasks",
        "transfer",
        "workers",
    )

    def __init__(self) -> None:
        self.tasks = self.erred = self.size = 0
        self.compute = self.transfer = self.start = self.stop = 0.0
        self.error: str | None = None
        self.workers: set[str] = set()
        self.failed: list[Run] = []
        self.slow: list[Run] = []

    def add(self, run: Run, transfer: float, size: int | None) -> None:
        """Count a task."""
        self.tasks += 1
        self.workers.add(run.worker)
        self.transfer += transfer
        self.size += size or 0
        if run.stop:
            self.compute += run.duration
            self.start = min(self.start or run.start, run.start)
            self.stop = max(self.stop, run.stop)
        if run.error is not None:
            self.erred += 1
            self.error = self.error or run.error
            if len(self.failed) < MAX_FAILED:
                self.failed.append(run)
        elif run.duration > SLOW:
            if len(self.slow) < MAX_SLOW:
                heapq.heappush(self.slow, run)
            else:
                heapq.heappushpop(self.slow, run)

    def remarkable(self) -> list[Run]:
        """Return the tasks that deserve a span: a few failed ones, and the slowest outliers."""
        mean = self.compute / self.tasks
        return self.failed + [run for run in self.slow if run.duration > SLOW_TIMES_MEAN * mean]


class Graph:
    """A `compute graph` span; usually of one submission.

    The event loop owns `open` and `tasks`, the thread behind the queue the parts.

    Attributes
    ----------
    carrier
        The span's context as its tasks carry it. Tasks are attributed by the identity of this dict.
    open
        Submissions that are not done.
    gathers
        More submissions may come, until nothing did for some time.
    recorded, shares
        Whether the trace had room for the span, and for a share of each worker's.
    """

    __slots__ = (
        "budget",
        "carrier",
        "context",
        "gathers",
        "links",
        "open",
        "outcome",
        "parts",
        "recorded",
        "shares",
        "span",
        "start",
        "stop",
        "tasks",
    )

    def __init__(
        self, span: Span, context: Context, carrier: dict[str, str], start: float, budget: Budget
    ) -> None:
        self.span = span
        self.context = context
        self.carrier = carrier
        self.budget = budget
        self.recorded = self.shares = True
        self.start = self.stop = start
        self.open = 1
        self.tasks = 0
        self.gathers = False
        self.outcome = OK
        self.links: set[int] = set()
        self.parts: dict[str, Part] = {}

    def link(self, other: Graph) -> None:
        """Note that tasks of this one run as the other's, which brought them first."""
        if id(other) not in self.links and len(self.links) < MAX_LINKS:
            self.links.add(id(other))
            self.span.add_link(other.span.get_span_context())

    def part(self, prefix: str) -> Part:
        """Return the part of a prefix."""
        part = self.parts.get(prefix)
        if part is None:
            if len(self.parts) >= MAX_PARTS:
                prefix = attributes.OTHER
            part = self.parts.setdefault(prefix, Part())
        return part

    def finish(self, tracer: Tracer, name_of: Callable[[str], str]) -> None:
        """End the span, and make those of its parts and of remarkable tasks.

        Parameters
        ----------
        name_of
            Tells a worker's name by its address.
        """
        workers = {worker for part in self.parts.values() for worker in part.workers}
        left_out = 0 if self.shares else len(workers)
        if not self.recorded:
            self.budget.left_out += 1 + len(self.parts) + left_out
            return
        left_out += self._details(tracer, name_of) + self.budget.left_out
        self.budget.left_out = 0
        error = next((part.error for part in self.parts.values() if part.error), None)
        self.span.set_attributes(
            {
                attributes.GRAPH_OUTCOME: self.outcome,
                attributes.GRAPH_TASKS: self.tasks,
                attributes.GRAPH_TASKS_ERRED: sum(part.erred for part in self.parts.values()),
                attributes.WORKERS: len(workers),
            }
        )
        if left_out:
            self.span.set_attribute(attributes.SPANS_LEFT_OUT, left_out)
        if self.outcome == ERROR:
            _fail(self.span, error)
        self.span.end(int(self.stop * 1e9))

    def _details(self, tracer: Tracer, name_of: Callable[[str], str]) -> int:
        """Make the spans of prefixes and remarkable tasks; return how many had no room.

        Those of prefixes that failed come first, then of those that computed longest.
        """
        told = [(prefix, part, part.remarkable()) for prefix, part in self.parts.items()]
        wanted = len(told) + sum(len(runs) for _, _, runs in told)
        room = self.budget.take_details(min(wanted, len(told) + MAX_TASKS))
        left_out = wanted - room
        if room < len(told):
            told = heapq.nlargest(room, told, key=lambda item: (item[1].erred, item[1].compute))
        room -= len(told)
        for prefix, part, runs in told:
            context = self._run_tasks(tracer, prefix, part)
            for run in runs[:room]:
                room -= 1
                self._task(tracer, context, prefix, run, name_of)
        return left_out

    def _run_tasks(self, tracer: Tracer, prefix: str, part: Part) -> Context:
        start, stop = self._within(part.start, part.stop)
        span = tracer.start_span(
            f"{spans.RUN_TASKS} {prefix}",
            context=self.context,
            start_time=start,
            attributes={
                attributes.TASK_PREFIX: prefix,
                attributes.TASKS: part.tasks,
                attributes.TASKS_ERRED: part.erred,
                attributes.WORKERS: len(part.workers),
                attributes.COMPUTE_DURATION: part.compute,
                attributes.TRANSFER_DURATION: part.transfer,
                attributes.RESULT_SIZE: part.size,
            },
        )
        if part.error is not None:
            _fail(span, part.error)
        span.end(stop)
        return trace.set_span_in_context(span, self.context)

    def _task(
        self,
        tracer: Tracer,
        context: Context,
        prefix: str,
        run: Run,
        name_of: Callable[[str], str],
    ) -> None:
        start, stop = self._within(run.start, run.stop)
        span = tracer.start_span(
            spans.TASK,
            context=context,
            start_time=start,
            attributes={
                attributes.TASK_PREFIX: prefix,
                attributes.WORKER_NAME: name_of(run.worker),
            },
        )
        if run.error is not None:
            _fail(span, run.error)
        span.end(stop)

    def _within(self, start: float, stop: float) -> tuple[int, int]:
        """Return times in ns, moved into the graph's: workers' clocks are known to some ms only.

        What has no times, as its worker died, spans the graph.
        """
        if not stop:
            start, stop = self.start, self.stop
        late = max(0.0, stop - self.stop)
        return int(max(start - late, self.start) * 1e9), int((stop - late) * 1e9)


def worse(one: str, other: str) -> str:
    """Return the worse of two outcomes."""
    return max(one, other, key=_BADNESS.index)


def _fail(span: Span, error: str | None) -> None:
    span.set_status(Status(StatusCode.ERROR))
    if error is not None:
        span.set_attribute(attributes.ERROR_TYPE, error)
