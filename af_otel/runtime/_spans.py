"""Span processors: the session of a span, the queue of finished ones, and what is still open."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from af_otel_semconv import attributes
from opentelemetry import baggage
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext

from af_otel.runtime import _clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentelemetry.context import Context

    from af_otel.runtime._sender import Sender

# The entries of baggage that become attributes: what is in baggage goes to whoever is called, so
# only what we know by name is kept.
_FROM_BAGGAGE = (attributes.SESSION_ID, attributes.USER_HASH)
# Longer ones are nobody's session.
_LONGEST = 128

# Seconds between two tries to export a batch, at most.
LONGEST_BACKOFF = 30.0


class SessionAttributes(SpanProcessor):
    """Puts `session.id` and `user.hash` from baggage onto every span.

    Threads that the user starts have no context, so the baggage that the process was started with
    stands in for it.
    """

    def __init__(self, inherited: Mapping[str, object]) -> None:
        self.inherited = inherited

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Add the attributes that the span does not set itself."""
        carried = baggage.get_all(parent_context)
        present = span.attributes or {}
        found = {}
        for key in _FROM_BAGGAGE:
            value = carried.get(key) or self.inherited.get(key)
            if isinstance(value, str) and len(value) <= _LONGEST and key not in present:
                found[key] = value
        if found:
            span.set_attributes(found)


class SpanQueue(SpanProcessor):
    """Exports finished spans in batches; when the queue is full, the oldest are dropped.

    A batch that could not be exported is tried again, less and less often.

    Parameters
    ----------
    sender
        Runs the exports.
    export
        Exports a batch.
    delay
        Seconds that a span waits for others at most.
    batch, limit
        Spans of one export, and of the queue.
    """

    def __init__(
        self,
        sender: Sender,
        export: Callable[[Sequence[ReadableSpan]], SpanExportResult],
        *,
        delay: float,
        batch: int,
        limit: int,
    ) -> None:
        self._sender = sender
        self._export = export
        self._delay = delay
        self._batch = min(batch, limit)
        self._queue: deque[ReadableSpan] = deque(maxlen=limit)
        self._since = 0.0
        self._failed: list[ReadableSpan] = []
        self._failures = 0

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span if it is sampled."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        queue = self._queue
        if not queue:
            self._since = _clock.monotonic()
            queue.append(span)
            self._sender.wake(self._since + self._delay)
            return
        queue.append(span)
        if len(queue) == self._batch:
            self._sender.wake()

    def due(self) -> float | None:
        """Return when to export: at once if a batch is full, else after the delay."""
        if self._failed:
            return self._since + min(LONGEST_BACKOFF, 2.0**self._failures)
        queued = len(self._queue)
        if not queued:
            return None
        return 0.0 if queued >= self._batch else self._since + self._delay

    def run(self) -> None:
        """Export what is queued now, until it fails."""
        for _ in range(-(-len(self._queue) // self._batch) or 1):
            spans = self._failed or self._take()
            self._since = _clock.monotonic()
            if self._export(spans) is not SpanExportResult.SUCCESS:
                self._failed = spans
                self._failures += 1
                return
            self._failed, self._failures = [], 0

    def _take(self) -> list[ReadableSpan]:
        spans: list[ReadableSpan] = []
        with suppress(IndexError):  # fewer than a batch
            while len(spans) < self._batch:
                spans.append(self._queue.popleft())
        return spans

    def finish(self) -> None:
        """Export what is left."""
        if self._queue or self._failed:
            self.run()
        while self._queue and not self._failed:
            self.run()

    def forked(self) -> None:
        """Leave what is queued to the parent."""
        self._queue.clear()
        self._failed, self._failures = [], 0

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002
        """Do nothing: a span waits for a second at most."""
        return True


class PendingSpans(SpanProcessor):
    """Exports a marker for each span that stays open, so that the last act of a killed process is
    seen.

    The marker is a span of its own beside the open one, from its start to the marker's making, with
    `af_otel.pending` and the open span's id. Readers drop it once that span has arrived.

    Parameters
    ----------
    sender
        Makes the markers on its thread.
    export
        Takes the markers; the queue of the exporting processor.
    after
        Age in seconds at which a span is marked.
    limit
        Spans watched at once; later ones go unmarked.
    """

    def __init__(
        self,
        sender: Sender,
        export: Callable[[ReadableSpan], None],
        after: float,
        limit: int = 1000,
    ) -> None:
        self._sender = sender
        self.export = export
        self.after = after
        self.limit = limit
        self._ids = RandomIdGenerator()
        self._open: dict[int, tuple[float, Span]] = {}

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Watch the span."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled or len(self._open) >= self.limit:
            return
        due = _clock.monotonic() + self.after
        self._open[context.span_id] = (due, span)
        self._sender.wake(due)

    def on_end(self, span: ReadableSpan) -> None:
        """Forget the span: its own record is on its way."""
        if span.context is not None:
            self._open.pop(span.context.span_id, None)

    def due(self) -> float | None:
        """Return when the oldest open span is to be marked."""
        # Spans start in time order and all wait the same time: the first one is due first.
        try:
            return next(iter(self._open.values()))[0]
        except (StopIteration, RuntimeError):  # none, or it has changed just now
            return _clock.monotonic() + self.after if self._open else None

    def run(self) -> None:
        """Mark what is due."""
        self._mark(_clock.monotonic())

    def finish(self) -> None:
        """Mark what is open now, as it will not end any more."""
        self._mark(float("inf"))

    def forked(self) -> None:
        """Leave what is open to the parent."""
        self._open.clear()

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002
        """Do nothing: markers wait for nothing."""
        return True

    def _mark(self, now: float) -> None:
        for span_id, (due, span) in list(self._open.items()):
            if due > now:
                break
            if self._open.pop(span_id, None) is not None and span.is_recording():
                self.export(self._marker(span))

    def _marker(self, span: Span) -> ReadableSpan:
        context = span.get_span_context()
        return ReadableSpan(
            name=span.name,
            context=SpanContext(
                context.trace_id,
                self._ids.generate_span_id(),
                is_remote=False,
                trace_flags=context.trace_flags,
                trace_state=context.trace_state,
            ),
            parent=span.parent,
            resource=span.resource,
            attributes={
                **(span.attributes or {}),
                attributes.PENDING: True,
                attributes.PENDING_SPAN_ID: f"{context.span_id:016x}",
            },
            links=span.links,
            kind=span.kind,
            start_time=span.start_time,
            end_time=_clock.time_ns(),
            instrumentation_scope=span.instrumentation_scope,
        )
