"""What the JSON of Jaeger's `/api/traces`, the API of its UI, tells of traces and sessions.

Only this API searches by tag. Its times are rounded to microseconds; `/api/v3` has them exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes as names
from af_otel_semconv import spans as span_names

from af_otel.backends.sessions import Spawn, TraceFacts, is_failed
from af_otel.backends.spans import Link, Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

_US = 1000  # nanoseconds


def parse_traces(answer: Any) -> list[list[Span]]:
    """Return the spans of each trace in an answer of `/api/traces`."""
    return [
        [_span(span, trace["processes"]) for span in trace["spans"]]
        for trace in answer["data"] or ()
    ]


def _span(span: Mapping[str, Any], processes: Mapping[str, Any]) -> Span:
    """Read a span of `/api/traces`: what sessions are known by, without its resource and events."""
    attributes = {tag["key"]: tag["value"] for tag in span.get("tags") or ()}
    references = span.get("references") or ()
    trace_id = span["traceID"].zfill(32)
    parents = [
        one["spanID"].zfill(16)
        for one in references
        if one["refType"] == "CHILD_OF" and one["traceID"].zfill(32) == trace_id
    ]
    start = int(span["startTime"]) * _US
    return Span(
        trace_id=trace_id,
        span_id=span["spanID"].zfill(16),
        parent_id=parents[0] if parents else "",
        name=span["operationName"],
        service=processes[span["processID"]]["serviceName"],
        start=start,
        end=start + int(span["duration"]) * _US,
        status="error" if _is_true(attributes.get("error")) else "unset",
        attributes=attributes,
        links=tuple(
            Link(one["traceID"].zfill(32), one["spanID"].zfill(16))
            for one in references
            if one["refType"] == "FOLLOWS_FROM"
        ),
    )


def trace_facts(traces: Iterable[Sequence[Span]]) -> Iterator[TraceFacts]:
    """Yield what a list of sessions needs to know of each trace and session in it."""
    for trace in traces:
        for session_id in {span.session for span in trace} - {""}:
            spans = [span for span in trace if span.session == session_id]
            cells = [span for span in spans if span.name == span_names.EXECUTE_CELL]
            spawns = [span for span in spans if span.name == span_names.SPAWN_SERVER]
            ended = [span for span in spawns if not _is_pending(span)]
            spawn = next(iter(ended or spawns), None)
            yield TraceFacts(
                trace_id=trace[0].trace_id,
                session_id=session_id,
                began=min(span.start for span in [*spawns, *cells] or spans),
                ended=max(span.end for span in trace),
                user=next((user for span in spans if (user := _user(span))), ""),
                cell=bool(cells),
                failed=any(is_failed(span.status, span.attributes) for span in spans),
                spawn=_spawn(spawn) if spawn else None,
            )


def _spawn(span: Span) -> Spawn:
    outcome = span.attributes.get(names.SPAWN_OUTCOME)
    return Spawn(span.start, span.seconds, str(outcome or ""), _is_pending(span))


def _user(span: Span) -> str:
    return str(span.attributes.get(names.USER_HASH) or "")


def _is_pending(span: Span) -> bool:
    return _is_true(span.attributes.get(names.PENDING))


def _is_true(value: Any) -> bool:
    """Return whether a tag is true, as a boolean or as text."""
    return value is True or value == "true"
