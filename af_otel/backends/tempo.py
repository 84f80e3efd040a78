"""Tempo's search and trace APIs, asked in TraceQL."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes as names
from af_otel_semconv import spans as span_names

from af_otel.backends import sessions
from af_otel.backends.http import ANYBODY, Access, Api, Refused
from af_otel.backends.sessions import Cursor, SessionPage, Spawn, TraceFacts
from af_otel.backends.spans import in_order, parse
from af_otel.backends.store import DAY, MAX_TRACES, SessionTraces

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from af_otel.backends.spans import Span

READY = "/ready"  # answers once Tempo does
_NOT_FOUND = 404
_MARGIN = 60  # s; Tempo drops what begins or ends outside of the range asked for
_SPANS_PER_TRACE = 3  # that fit, in a search's answer: a spawn, its marker, and one retry
_PARALLEL = 4
_ENDED_LATER = 0.5  # s; a trace that is longer than its pending spawn has more than the marker


@dataclass(frozen=True)
class FoundTrace:
    """One trace of a search; times are nanoseconds since the epoch.

    `spans` are some of those that fit, each with its start, duration and selected attributes.
    """

    trace_id: str
    start: int
    duration_ms: int
    spans: tuple[Mapping[str, Any], ...] = ()

    @property
    def end(self) -> int:
        """When its last span ended."""
        return self.start + self.duration_ms * 1_000_000


@dataclass
class Tempo:
    """A Tempo at `url`: by id a trace is found at once, by search seconds after its last span."""

    url: str
    access: Access = ANYBODY
    name: str = "Tempo"
    # Tempo searches 168 hours at most by default, and a search ends a little ahead of now.
    max_age: float = 7 * DAY - 600

    @cached_property
    def _api(self) -> Api:
        return Api(self.name, self.url, self.access)

    def search(
        self,
        traceql: str,
        *,
        start: float | None = None,
        end: float | None = None,
        limit: int = MAX_TRACES,
    ) -> list[FoundTrace]:
        """Return the newest traces with a span that fits `traceql`, oldest first.

        By default, of the last day.
        """
        now = time.time()
        params: dict[str, str | int] = {
            "q": newest(traceql),
            "start": int(now - DAY if start is None else start),
            "end": int(now if end is None else end) + _MARGIN,
            "limit": limit,
            "spss": _SPANS_PER_TRACE,
        }
        return self._api.get("/api/search", params, read=_found)

    def sessions(
        self, start: float, end: float, *, before: Cursor | None = None, limit: int = 50
    ) -> SessionPage:
        """Return the newest sessions with a spawn or a cell in a time range, newest first."""
        ask = partial(self.search, start=start, end=end)
        queries = session_queries()
        with ThreadPoolExecutor(len(queries)) as pool:
            found = dict(zip(queries, pool.map(ask, queries.values()), strict=True))
        failed = {trace.trace_id for trace in found["failures"]}
        facts = [
            fact
            for what, traces in found.items()
            for trace in traces
            for fact in _facts(what, trace, failed=trace.trace_id in failed)
        ]
        page = sessions.page(sessions.gather(facts).values(), before, limit)
        # Of a search that has found as much as it may, older traces are missing.
        seen_since = max(
            (traces[0].start for traces in found.values() if len(traces) >= MAX_TRACES), default=0
        )
        for session in page.sessions:
            session.counted_all = session.began >= seen_since
        page.complete = all(session.counted_all for session in page.sessions)
        return page

    def session_traces(self, session_id: str, *, start: float) -> SessionTraces:
        """Return the traces with a span of a session; of more than `MAX_TRACES`, the newest."""
        found = self.search(of_session(session_id), start=start)
        return SessionTraces([trace.trace_id for trace in found], len(found) < MAX_TRACES)

    def trace(self, trace_id: str) -> list[Span]:
        """Return the spans of a trace, each once, in order of their start."""
        try:
            spans = self._api.get(f"/api/traces/{trace_id}", read=_parse)
        except Refused as error:
            if error.status == _NOT_FOUND:
                return []
            raise
        # While a trace moves from memory to disk, Tempo may answer with a span of both.
        unique = {span.span_id: span for span in spans}
        return sorted(unique.values(), key=in_order)

    def spans(
        self, service: str, name: str, *, start: float, end: float | None = None, limit: int = 20
    ) -> list[Span]:
        """Return the spans with a name in the newest `limit` traces with such, oldest first."""
        found = self.search(of_service(service, name), start=start, end=end, limit=limit)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            traces = pool.map(self.trace, [trace.trace_id for trace in found])
            spans = [span for trace in traces for span in trace]
        fitting = [span for span in spans if (span.service, span.name) == (service, name)]
        return sorted(fitting, key=in_order)

    def newest_trace(self, start: float, *, in_session: bool) -> str | None:
        """Return the id of the newest trace since `start`, or None."""
        found = self.search(IN_SESSION if in_session else ANY, start=start)
        return found[-1].trace_id if found else None

    def last_seen(self, service: str, facility: str, *, start: float) -> float | None:
        """Return when a facility's service last ended a trace since `start`, or None."""
        found = self.search(of_facility(service, facility), start=start)
        return max((trace.end / 1e9 for trace in found), default=None)


ANY = "{ }"
IN_SESSION = f'{{ span.{names.SESSION_ID} != "" }}'


def newest(traceql: str) -> str:
    """Return the query that gives the newest results; without it Tempo gives the first it finds."""
    return f"{traceql} with (most_recent=true)"


def of_session(session_id: str) -> str:
    """Return the query for traces with a span of a session."""
    return f"{{ span.{names.SESSION_ID} = {quoted(session_id)} }}"


def of_service(service: str, name: str) -> str:
    """Return the query for spans of a service with a name."""
    return f"{{ resource.service.name = {quoted(service)} && name = {quoted(name)} }}"


def of_facility(service: str, facility: str) -> str:
    """Return the query for spans of a facility's service."""
    return (
        f"{{ resource.service.name = {quoted(service)} && "
        f"resource.service.namespace = {quoted(facility)} }}"
    )


def session_queries() -> dict[str, str]:
    """Return the queries that a list of sessions is made of, by what their traces are."""
    failed = f'(status = error || span.{names.CELL_STATUS} =~ "{"|".join(sessions.FAILED_CELLS)}")'
    selected = (names.SESSION_ID, names.USER_HASH, names.SPAWN_OUTCOME, names.PENDING)
    return {
        what: f'{{ span.{names.SESSION_ID} != "" && {condition} }} '
        f"| select({', '.join(f'span.{name}' for name in selected)})"
        for what, condition in (
            ("spawns", f'name = "{span_names.SPAWN_SERVER}"'),
            # An open cell is there as its marker: each cell is a trace, however many spans fit.
            ("cells", f'name = "{span_names.EXECUTE_CELL}"'),
            ("failures", failed),
        )
    }


def quoted(text: str) -> str:
    """Return a text as TraceQL writes it: as Go does, which knows JSON's escapes."""
    return json.dumps(text, ensure_ascii=False)


def _parse(answer: Any) -> list[Span]:
    return list(parse(answer))


def _found(answer: Any) -> list[FoundTrace]:
    found = [
        FoundTrace(
            # Tempo writes ids as numbers, without leading zeros.
            trace_id=item["traceID"].zfill(32),
            start=int(item.get("startTimeUnixNano", 0)),
            duration_ms=int(item.get("durationMs", 0)),
            spans=tuple(
                span for group in item.get("spanSets") or () for span in group.get("spans") or ()
            ),
        )
        for item in answer.get("traces") or ()
    ]
    return sorted(found, key=lambda trace: trace.start)


def _facts(what: str, trace: FoundTrace, *, failed: bool) -> Iterator[TraceFacts]:
    for span in trace.spans:
        # As text, whatever a user's own code has put there.
        values = {
            item.get("key", ""): str(next(iter(item.get("value", {}).values()), ""))
            for item in span.get("attributes") or ()
        }
        session_id = values.get(names.SESSION_ID, "")
        if session_id:
            yield TraceFacts(
                trace_id=trace.trace_id,
                session_id=session_id,
                began=int(span.get("startTimeUnixNano", 0)),
                ended=trace.end,
                user=values.get(names.USER_HASH, ""),
                cell=what == "cells",
                failed=failed,
                spawn=_spawn(span, values, trace, failed=failed) if what == "spawns" else None,
            )


def _spawn(
    span: Mapping[str, Any], values: Mapping[str, str], trace: FoundTrace, *, failed: bool
) -> Spawn:
    outcome = values.get(names.SPAWN_OUTCOME, "")
    seconds = int(span.get("durationNanos", 0)) / 1e9
    pending = values.get(names.PENDING, "").lower() == "true"
    whole = trace.duration_ms / 1e3
    if pending and whole > seconds + _ENDED_LATER:
        # The span itself lies in another block than the marker that was found.
        pending, seconds, outcome = False, whole, "failed" if failed else ""
    return Spawn(int(span.get("startTimeUnixNano", 0)), seconds, outcome, pending)
