"""OTLP JSON, as tests send it and as the Collector's file exporter writes it."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
STATUSES = ("unset", "ok", "error")


class Link(TypedDict):
    trace_id: str
    span_id: str
    attributes: dict[str, Any]


class Event(TypedDict):
    name: str
    time: int
    attributes: dict[str, Any]


class Span(TypedDict):
    """One span as the Collector let it out; times are nanoseconds since the epoch."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str | None
    kind: str
    start: int
    end: int
    status: str
    status_message: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    links: list[Link]
    events: list[Event]


class Point(TypedDict):
    """One point of a metric; `value` is a number, or a histogram's count, sum, bounds, counts."""

    name: str
    unit: str
    kind: str
    value: Any
    attributes: dict[str, Any]
    resource: dict[str, Any]
    scope: str
    time: int


def new_span(
    name: str,
    *,
    trace_id: str = "",
    parent_id: str = "",
    seconds: float = 1,
    attributes: Mapping[str, Any] | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """A span that ends now, as OTLP JSON; `fields` are OTLP's own."""
    end = time.time_ns()
    return {
        "traceId": trace_id or secrets.token_hex(16),
        "spanId": secrets.token_hex(8),
        "parentSpanId": parent_id,
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(end - int(seconds * 1e9)),
        "endTimeUnixNano": str(end),
        "attributes": otlp_attributes(attributes or {}),
        **fields,
    }


def new_counter(name: str, value: int, attributes: Mapping[str, Any] | None = None) -> Any:
    """A cumulative counter with one point, as OTLP JSON."""
    now = time.time_ns()
    point = {
        "asInt": str(value),
        "startTimeUnixNano": str(now - 10**9),
        "timeUnixNano": str(now),
        "attributes": otlp_attributes(attributes or {}),
    }
    total = {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}
    return {"name": name, "unit": "1", "sum": total}


def resource_metrics(metrics: Sequence[Any], resource: Mapping[str, Any]) -> dict[str, Any]:
    """The OTLP JSON of `metrics`, given as OTLP objects, under one resource."""
    return {
        "resource": {"attributes": otlp_attributes(resource)},
        "scopeMetrics": [{"scope": {"name": "test"}, "metrics": list(metrics)}],
    }


def resource_spans(spans: Sequence[dict[str, Any]], resource: Mapping[str, Any]) -> dict[str, Any]:
    """The OTLP JSON of `spans`, given as OTLP objects, under one resource."""
    return {
        "resource": {"attributes": otlp_attributes(resource)},
        "scopeSpans": [{"scope": {"name": "test"}, "spans": list(spans)}],
    }


def otlp_attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _otlp_value(value)} for key, value in attributes.items()]


def _otlp_value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, (list, tuple)):
        return {"arrayValue": {"values": [_otlp_value(item) for item in value]}}
    return {"stringValue": str(value)}


def read_spans(path: Path) -> list[Span]:
    """The spans in a file of the Collector's file exporter."""
    return [
        _span(span, _attributes(group.get("resource", {})), scope.get("scope", {}).get("name", ""))
        for line in _lines(path)
        for group in line.get("resourceSpans", ())
        for scope in group.get("scopeSpans", ())
        for span in scope.get("spans", ())
    ]


def read_points(path: Path) -> list[Point]:
    """The metric points in a file of the Collector's file exporter."""
    return [
        point
        for line in _lines(path)
        for group in line.get("resourceMetrics", ())
        for scope in group.get("scopeMetrics", ())
        for metric in scope.get("metrics", ())
        for point in _points(
            metric, _attributes(group.get("resource", {})), scope.get("scope", {}).get("name", "")
        )
    ]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_bytes().split(b"\n"):
        with contextlib.suppress(ValueError):  # the last line, still being written
            yield json.loads(line)


def _span(span: dict[str, Any], resource: dict[str, Any], scope: str) -> Span:
    status = span.get("status", {})
    return {
        "name": span.get("name", ""),
        "trace_id": span["traceId"],
        "span_id": span["spanId"],
        "parent_id": span.get("parentSpanId") or None,
        "kind": KINDS[span.get("kind", 0)],
        "start": int(span.get("startTimeUnixNano", 0)),
        "end": int(span.get("endTimeUnixNano", 0)),
        "status": STATUSES[status.get("code", 0)],
        "status_message": status.get("message", ""),
        "attributes": _attributes(span),
        "resource": resource,
        "scope": scope,
        "links": [
            {
                "trace_id": link["traceId"],
                "span_id": link["spanId"],
                "attributes": _attributes(link),
            }
            for link in span.get("links", ())
        ],
        "events": [
            {
                "name": event.get("name", ""),
                "time": int(event.get("timeUnixNano", 0)),
                "attributes": _attributes(event),
            }
            for event in span.get("events", ())
        ],
    }


def _points(metric: dict[str, Any], resource: dict[str, Any], scope: str) -> Iterator[Point]:
    for kind in ("sum", "gauge", "histogram", "exponentialHistogram"):
        for point in metric.get(kind, {}).get("dataPoints", ()):
            yield {
                "name": metric["name"],
                "unit": metric.get("unit", ""),
                "kind": kind,
                "value": _point_value(point),
                "attributes": _attributes(point),
                "resource": resource,
                "scope": scope,
                "time": int(point.get("timeUnixNano", 0)),
            }


def _point_value(point: dict[str, Any]) -> Any:
    if "asInt" in point:
        return int(point["asInt"])
    if "asDouble" in point:
        return point["asDouble"]
    return {
        "count": int(point.get("count", 0)),
        "sum": point.get("sum", 0.0),
        "bounds": point.get("explicitBounds", []),
        "counts": [int(count) for count in point.get("bucketCounts", ())],
    }


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    return {item["key"]: _value(item.get("value", {})) for item in holder.get("attributes", ())}


def _value(value: dict[str, Any]) -> Any:
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [_value(item) for item in content.get("values", ())]
        if kind == "kvlistValue":
            return {item["key"]: _value(item.get("value", {})) for item in content["values"]}
        return content
    return None
