"""Span processors: whose session a span belongs to, and which spans are still open."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from af_otel_semconv import attributes
from opentelemetry import baggage
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanContext

from af_otel.runtime import _clock, _threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.context import Context

# The entries of baggage that become attributes: what is in baggage goes to whoever is called, so
# only what we know by name is kept.
_FROM_BAGGAGE = (attributes.SESSION_ID, attributes.USER_HASH)
# Longer ones are nobody's session.
_LONGEST = 128


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


class PendingSpans(SpanProcessor):
    """Exports a marker for each span that stays open, so that the last act of a killed process is
    seen.

    The marker is a span of its own beside the open one, from its start to the marker's making, with
    `af_otel.pending` and the open span's id. Readers drop it once that span has arrived.

    Parameters
    ----------
    export
        Takes the markers; the queue of the exporting processor.
    after
        Age in seconds at which a span is marked.
    limit
        Spans watched at once; later ones go unmarked.
    """

    def __init__(
        self, export: Callable[[ReadableSpan], None], after: float, limit: int = 1000
    ) -> None:
        self.export = export
        self.after = after
        self.limit = limit
        self._ids = RandomIdGenerator()
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._open: dict[int, tuple[float, Span]] = {}
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002
        """Watch the span."""
        context = span.get_span_context()
        if context is None or not context.trace_flags.sampled or len(self._open) >= self.limit:
            return
        self._open[context.span_id] = (_clock.monotonic() + self.after, span)
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="af-otel-pending", daemon=True)
            with suppress(RuntimeError):  # the interpreter is on its way out
                _threads.start(self._thread)
        elif len(self._open) == 1:
            self._wake.set()

    def on_end(self, span: ReadableSpan) -> None:
        """Forget the span: its own record is on its way."""
        if span.context is not None:
            self._open.pop(span.context.span_id, None)

    def shutdown(self) -> None:
        """Mark what is open now, as it will not end any more, and stop."""
        self._stopped = True
        self._wake.set()
        self._mark(float("inf"))

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002
        """Do nothing: markers wait for nothing."""
        return True

    def _watch(self) -> None:
        while not self._stopped:
            # Spans start in time order and all wait the same time: the first one is due first.
            first = next(iter(list(self._open.values())), None)
            self._wake.wait(
                None if first is None else max(0.0, first[0] - _clock.monotonic()) + 0.05
            )
            self._wake.clear()
            self._mark(_clock.monotonic())

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
