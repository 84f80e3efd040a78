"""Spans from the JSON of Jaeger's `/api/traces`, which its UI is made for.

Only this API searches by tag. Its times are rounded to microseconds; `/api/v3` has them exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.backends.spans import Link, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        status="error" if attributes.get("error") in {True, "true"} else "unset",
        attributes=attributes,
        links=tuple(
            Link(one["traceID"].zfill(32), one["spanID"].zfill(16))
            for one in references
            if one["refType"] == "FOLLOWS_FROM"
        ),
    )
