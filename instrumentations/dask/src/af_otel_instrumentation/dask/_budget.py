"""The bound on the spans that a scheduler and its workers add to one trace.

A cell in a loop submits graphs by the hundred, and trace stores refuse a trace that is too large,
with its root. So spans of prefixes and tasks end first, then workers' shares; `compute graph` spans
go on, and say how many others were left out.
"""

from __future__ import annotations

from collections import OrderedDict

from af_otel_instrumentation.dask._hooks import monotonic

# Spans of one trace: of prefixes and single tasks, of workers' shares, and of graphs. At some 700
# bytes each that is half of what Tempo takes by default (`max_bytes_per_trace`, 5 MB).
MAX_DETAILS = 2000
MAX_SHARES = 1000
MAX_GRAPHS = 500
# Seconds after which a trace may have one more graph, so that a cell of days stays visible.
GRAPH_REFILL = 600.0
# Traces that are counted at once; of older ones the count begins again.
MAX_TRACES = 1000


class Budget:
    """What one trace still has room for.

    The event loop takes graphs and shares, the thread behind the queue details.

    Attributes
    ----------
    left_out
        Spans of graphs that have none themselves, until a later graph of the trace reports them.
    """

    __slots__ = ("_details", "_graphs", "_refilled", "_shares", "left_out")

    def __init__(self) -> None:
        self._details = MAX_DETAILS
        self._shares = MAX_SHARES
        self._graphs = float(MAX_GRAPHS)
        self._refilled = monotonic()
        self.left_out = 0

    def take_graph(self) -> bool:
        """Take a `compute graph` span; return whether there was room for it."""
        now = monotonic()
        self._graphs = min(MAX_GRAPHS, self._graphs + (now - self._refilled) / GRAPH_REFILL)
        self._refilled = now
        if self._graphs < 1:
            return False
        self._graphs -= 1
        return True

    def take_shares(self, workers: int) -> bool:
        """Take a share for each worker; return whether there was room for any."""
        if self._shares <= 0:
            return False
        self._shares -= workers
        return True

    def take_details(self, wanted: int) -> int:
        """Take spans of prefixes and tasks for one graph; return how many it gets.

        A graph gets at most half of what is left, so that later ones get some, too.
        """
        taken = min(wanted, self._details // 2)
        self._details -= taken
        return taken


class Budgets:
    """The budgets of the traces that were added to last, by trace id."""

    def __init__(self) -> None:
        self._budgets: OrderedDict[str, Budget] = OrderedDict()

    def of(self, trace_id: str) -> Budget:
        """Return a trace's budget; a new one for no trace, as that becomes the graph's own."""
        if not trace_id:
            return Budget()
        budget = self._budgets.get(trace_id)
        if budget is None:
            budget = self._budgets[trace_id] = Budget()
            if len(self._budgets) > MAX_TRACES:
                self._budgets.popitem(last=False)
        else:
            self._budgets.move_to_end(trace_id)
        return budget
