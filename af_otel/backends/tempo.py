"""Tempo's search and trace APIs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel.backends import spans
from af_otel.backends.http import ANYBODY, Access, Refused, get_json, new_client

if TYPE_CHECKING:
    import httpx

    from af_otel.backends.spans import Span

SEARCH_LIMIT = 1000  # traces; Tempo's own default is 20, fewer than a morning's cells
DAY = 86400
_NOT_FOUND = 404
_MARGIN = 60  # s; Tempo drops what begins or ends outside of the range asked for


@dataclass(frozen=True)
class Found:
    """One trace of a search; `start` is in nanoseconds since the epoch."""

    trace_id: str
    root_service: str
    root_name: str
    start: int
    duration_ms: int


@dataclass(frozen=True)
class Tempo:
    """A Tempo at `url`: by id a trace is found at once, by search seconds after its last span."""

    url: str
    access: Access = ANYBODY

    def search(
        self,
        traceql: str,
        *,
        start: float | None = None,
        end: float | None = None,
        limit: int = SEARCH_LIMIT,
    ) -> list[Found]:
        """The newest traces with a span that fits `traceql`, oldest first.

        They are looked for in the last day unless told otherwise.
        """
        now = time.time()
        answer = get_json(
            "Tempo",
            self.url,
            "/api/search",
            {
                "q": f"{traceql} with (most_recent=true)",  # or Tempo gives what it finds first
                "start": int(now - DAY if start is None else start),
                "end": int(now + _MARGIN if end is None else end),
                "limit": limit,
                "spss": 1,
            },
            self.access,
        )
        found = [
            Found(
                # Tempo writes ids as numbers, without leading zeros.
                trace_id=item["traceID"].zfill(32),
                root_service=item.get("rootServiceName", ""),
                root_name=item.get("rootTraceName", ""),
                start=int(item.get("startTimeUnixNano", 0)),
                duration_ms=item.get("durationMs", 0),
            )
            for item in answer.get("traces") or ()
        ]
        return sorted(found, key=lambda trace: trace.start)

    def trace(self, trace_id: str, client: httpx.Client | None = None) -> list[Span]:
        """The spans of a trace in order of their start; none if Tempo has no such trace."""
        try:
            path = f"/api/traces/{trace_id}"
            answer = get_json("Tempo", self.url, path, access=self.access, client=client)
        except Refused as error:
            if error.status == _NOT_FOUND:
                return []
            raise
        # While a trace moves from memory to disk Tempo may answer with a span of both.
        unique = {span.span_id: span for span in spans.parse(answer)}
        return sorted(unique.values(), key=lambda span: span.start)

    def session(self, session_id: str, *, start: float | None = None) -> list[Span]:
        """The spans of a session's traces, the newest `SEARCH_LIMIT`, in order of their start."""
        found = self.search(f"{{ span.session.id = {json.dumps(session_id)} }}", start=start)
        with new_client(self.access) as client:
            every = [span for trace in found for span in self.trace(trace.trace_id, client)]
        return sorted(every, key=lambda span: span.start)
