"""Which tasks belong to which `compute graph`, and when it is done. Runs on the event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from af_otel_instrumentation.dask._budget import Budgets
from af_otel_instrumentation.dask._hooks import monotonic, wall_time
from af_otel_instrumentation.dask.graph import CANCELLED, ERROR, OK, Graph, worse
from af_otel_semconv import attributes, spans
from af_otel_semconv.carriers import DASK_NO_SHARE
from opentelemetry import propagate, trace
from opentelemetry.context import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from af_otel_instrumentation.dask._budget import Budget
    from opentelemetry.trace import Tracer

_SETTLED = frozenset({"memory", "erred"})

# Submissions of one parent, say a cell, that get a span each, and seconds after which it may have
# one more. A loop of thousands of `submit`s has the others gather in one span, until there were
# none for that long.
OWN_SPANS = 50
REFILL = 10.0
MAX_PARENTS = 1000


class Submission:
    """One call of `update_graph`; done when each key the client wants is there, failed or gone."""

    __slots__ = ("graph", "missing", "outcome", "start", "stop", "tasks")

    def __init__(self, graph: Graph, start: float) -> None:
        self.graph = graph
        self.start = self.stop = start
        self.missing = self.tasks = 0
        self.outcome = OK


class _Parent:
    """What one client submits under one context."""

    __slots__ = ("gathering", "left", "refilled")

    def __init__(self) -> None:
        self.left = float(OWN_SPANS)
        self.refilled = monotonic()
        self.gathering: Graph | None = None

    def may_have_another(self) -> bool:
        now = monotonic()
        self.left = min(OWN_SPANS, self.left + (now - self.refilled) / REFILL)
        self.refilled = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Submissions:
    """The submissions of one scheduler. Holds the keys that clients wait for, and no task.

    Attributes
    ----------
    graphs
        By identity of the carrier that their tasks have; whoever finishes a graph takes it out.
    carriers
        By task. Not in the task's annotations, which users and other plugins see.
    wanted
        Keys that are not there yet, and who waits for them.
    """

    def __init__(
        self,
        tasks: dict[Any, Any],
        tracer: Tracer,
        done: Callable[[Any], None],
        workers: Collection[str],
    ) -> None:
        self.graphs: dict[int, Graph] = {}
        self.carriers: dict[Any, dict[str, str]] = {}
        self.wanted: dict[Any, tuple[Submission, ...]] = {}
        self._tasks = tasks
        self._tracer = tracer
        self._done = done
        self._workers = workers
        self._budgets = Budgets()
        self._parents: OrderedDict[tuple[str, str], _Parent] = OrderedDict()
        self._open: set[Submission] = set()
        self._closed = False

    def add(
        self,
        client: str,
        carrier: Mapping[str, str],
        start: float,
        tasks: Iterable[Any],
        wanted: Iterable[Any],
    ) -> None:
        """Take in a graph before any of its tasks goes anywhere."""
        submission = Submission(self._graph(client, carrier, start), start)
        self._adopt(submission, tasks)
        self._want(submission, wanted)

    def arrived(self, key: Any, outcome: str = OK) -> None:
        """Take note that a wanted key is there, or will not come."""
        for submission in self.wanted.pop(key):
            submission.missing -= 1
            if outcome != OK:
                submission.outcome = worse(submission.outcome, outcome)
            if not submission.missing:
                self._settle(submission)
        if not self.wanted:
            self.wanted.clear()  # gives back the table that a huge graph needed

    def released(self, key: Any, *, forgotten: bool) -> None:
        """Take note that a wanted key is waited for no more, unless its task will run again."""
        task = None if forgotten else self._tasks.get(key)
        # After a worker's death it does; with an exception to blame it fails next.
        if task is None or not (task.exception_blame or task.who_wants or task.waiters):
            self.arrived(key, CANCELLED)

    def abandon(self) -> None:
        """End everything as cancelled, when the scheduler forgets all its tasks or closes."""
        self.wanted.clear()
        for submission in list(self._open):
            submission.outcome = worse(submission.outcome, CANCELLED)
            self._settle(submission)
        for graph in list(self.graphs.values()):
            if graph.gathers and not graph.open:
                self._end(graph)
        self.carriers.clear()

    def close(self) -> None:
        """End everything as cancelled; from here on nothing gathers."""
        self._closed = True
        self.abandon()

    def _graph(self, client: str, carrier: Mapping[str, str], start: float) -> Graph:
        parent_span = carrier.get("traceparent", "")
        trace_id = parent_span[3:35]
        budget = self._budgets.of(trace_id)
        parent = self._parent(client, parent_span)
        if parent.may_have_another():
            if budget.take_graph():
                return self._start(carrier, start, budget)
            # Of a full trace all graphs gather in one, whatever their parents.
            parent = self._parent(client, trace_id)
        if parent.gathering is None:
            recorded = budget.take_graph()
            parent.gathering = self._start(carrier, start, budget, recorded=recorded)
            parent.gathering.gathers = True
        else:
            parent.gathering.open += 1
        return parent.gathering

    def _parent(self, client: str, name: str) -> _Parent:
        parent = self._parents.setdefault((client, name), _Parent())
        self._parents.move_to_end((client, name))
        if len(self._parents) > MAX_PARENTS:
            self._parents.popitem(last=False)
        return parent

    def _start(
        self, carrier: Mapping[str, str], start: float, budget: Budget, *, recorded: bool = True
    ) -> Graph:
        context = propagate.extract(carrier, context=Context())
        if recorded:
            span = self._tracer.start_span(
                spans.COMPUTE_GRAPH, context=context, start_time=int(start * 1e9)
            )
        else:
            span = trace.NonRecordingSpan(trace.get_current_span(context).get_span_context())
        context = trace.set_span_in_context(span, context)
        own: dict[str, str] = {}
        propagate.inject(own, context=context)
        shares = recorded and budget.take_shares(len(self._workers))
        if own and not shares:
            own[DASK_NO_SHARE] = "1"
        graph = self.graphs[id(own)] = Graph(span, context, own, start, budget)
        graph.recorded, graph.shares = recorded, shares
        return graph

    def _adopt(self, submission: Submission, keys: Iterable[Any]) -> None:
        """Have what will run carry the graph's context; what another brought keeps its own."""
        known, graphs, graph = self._tasks, self.graphs, submission.graph
        carriers, carrier = self.carriers, graph.carrier
        tasks = 0
        for key in keys:
            task = known.get(key)
            if task is None or task.state in _SETTLED:
                continue
            owner = graphs.get(id(carriers.get(key)))
            if owner is graph:
                continue
            if owner is not None and owner.open:
                graph.link(owner)
                continue
            tasks += 1
            if carrier:  # empty without an SDK
                carriers[key] = carrier
        submission.tasks = tasks
        graph.tasks += tasks
        graph.span.set_attribute(attributes.GRAPH_TASKS, graph.tasks)

    def _want(self, submission: Submission, keys: Iterable[Any]) -> None:
        """Wait for what the client wants: all else is needed for that, or not needed at all."""
        wanted, alone = self.wanted, (submission,)
        for key in keys:
            task = self._tasks.get(key)
            if task is None or task.state == "memory":
                continue
            if task.state == "erred":
                submission.outcome = ERROR
                continue
            others = wanted.get(key)
            wanted[key] = alone if others is None else others + alone
            submission.missing += 1
        if submission.missing:
            self._open.add(submission)
        else:
            self._settle(submission)

    def _settle(self, submission: Submission) -> None:
        self._open.discard(submission)
        graph = submission.graph
        graph.stop = submission.stop = wall_time()
        graph.outcome = worse(graph.outcome, submission.outcome)
        graph.open -= 1
        self._done(submission)
        if graph.open:
            return
        if graph.gathers and not self._closed:
            loop = asyncio.get_running_loop()
            loop.call_later(REFILL, self._gathered, graph, graph.stop)
        else:
            self._end(graph)

    def _gathered(self, graph: Graph, stop: float) -> None:
        if not graph.open and graph.stop == stop:
            self._end(graph)

    def _end(self, graph: Graph) -> None:
        if graph.gathers:
            for parent in self._parents.values():
                if parent.gathering is graph:
                    parent.gathering = None
        self._done(graph)
