"""A bound on the spans that users' code adds to one trace, so that a loop of theirs stays cheap.

Beyond it spans are counted and not recorded, and the outermost span of the process in that trace
says how many. Our own spans are not counted: they have bounds of their own.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from af_otel_semconv import attributes
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from af_otel.runtime._packages import is_ours

if TYPE_CHECKING:
    from opentelemetry.context import Context

# Traces that are counted at once; of older ones the count begins again.
_TRACES = 1000


class Budget(SpanProcessor):
    """Counts the users' spans of each trace.

    Attributes
    ----------
    limit
        Spans of one trace that are recorded.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._recorded: OrderedDict[int, int] = OrderedDict()
        self._left_out: dict[int, int] = {}

    def leaves_out(self, trace_id: int) -> bool:
        """Return whether a trace has no room for another span; if so, count it as left out."""
        if self._recorded.get(trace_id, 0) < self.limit:
            return False
        self._left_out[trace_id] = self._left_out.get(trace_id, 0) + 1
        return True

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Count the span if it is a user's."""
        if is_ours(span.instrumentation_scope):
            return
        trace_id = span.get_span_context().trace_id
        recorded = self._recorded
        recorded[trace_id] = recorded.get(trace_id, 0) + 1
        if len(recorded) > _TRACES:
            oldest, _ = recorded.popitem(last=False)
            self._left_out.pop(oldest, None)

    def _on_ending(self, span: Span) -> None:
        if self._left_out and (span.parent is None or span.parent.is_remote):
            left_out = self._left_out.pop(span.get_span_context().trace_id, 0)
            if left_out:
                # In place of the attributes, which cannot be changed any more.
                known = dict(span.attributes or {})
                # A scheduler in this process may have left out some of Dask's.
                of_dask = known.get(attributes.SPANS_LEFT_OUT)
                if isinstance(of_dask, int):
                    left_out += of_dask
                known[attributes.SPANS_LEFT_OUT] = left_out
                span._attributes = BoundedAttributes(attributes=known)  # noqa: SLF001

    def on_end(self, span: ReadableSpan) -> None:
        """Do nothing: what a trace had, it keeps having."""
