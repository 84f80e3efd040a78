"""A trace store that is asked only once for traces that no longer change."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from af_otel.backends.sessions import Cursor, SessionPage
    from af_otel.backends.spans import Span
    from af_otel.backends.store import SessionTraces, TraceStore

SETTLED = 120  # s; a trace without open spans that has been silent for as long has ended
MAX_SPANS = 50_000  # some dozens of MB


@dataclass
class CachedStore:
    """A `TraceStore` whose `trace` remembers what has ended; all else is passed on.

    A page that shows a session asks for it every few seconds.
    """

    store: TraceStore
    _traces: OrderedDict[str, list[Span]] = field(default_factory=OrderedDict)
    _size: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.name, self.url, self.max_age = self.store.name, self.store.url, self.store.max_age

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace in order of their start."""
        with self._lock:
            cached = self._traces.get(trace_id)
        if cached is not None:
            return cached
        spans = self.store.trace(trace_id)
        if spans and _is_settled(spans):
            self._keep(trace_id, spans)
        return spans

    def _keep(self, trace_id: str, spans: list[Span]) -> None:
        with self._lock:
            if trace_id not in self._traces:
                self._traces[trace_id] = spans
                self._size += len(spans)
            while self._size > MAX_SPANS:
                _, oldest = self._traces.popitem(last=False)
                self._size -= len(oldest)

    def sessions(
        self, start: float, end: float, *, before: Cursor | None = None, limit: int = 50
    ) -> SessionPage:
        """Return the newest sessions of a time range."""
        return self.store.sessions(start, end, before=before, limit=limit)

    def session_traces(self, session_id: str, *, start: float) -> SessionTraces:
        """Return the traces of a session."""
        return self.store.session_traces(session_id, start=start)

    def spans(
        self, service: str, name: str, *, start: float, end: float | None = None, limit: int = 20
    ) -> list[Span]:
        """Return the newest spans of a service with a name."""
        return self.store.spans(service, name, start=start, end=end, limit=limit)

    def newest_trace(self, start: float, *, in_session: bool) -> str | None:
        """Return the id of the newest trace."""
        return self.store.newest_trace(start, in_session=in_session)

    def last_seen(self, service: str, facility: str, *, start: float) -> float | None:
        """Return when a service last ended a trace."""
        return self.store.last_seen(service, facility, start=start)


def _is_settled(spans: list[Span]) -> bool:
    ended = {span.span_id for span in spans}
    is_open = any(span.pending_for and span.pending_for not in ended for span in spans)
    return not is_open and max(span.end for span in spans) / 1e9 + SETTLED < time.time()
