"""Spans as plain data, read from OTLP JSON in either of its dialects.

The OTLP specification, and with it the Collector's file exporter and Jaeger, writes ids in hex and
enums as numbers; Tempo answers with protobuf's own JSON, in which ids are base64 and enums are
names.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel_semconv import attributes as names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")
_DEEPEST = 20  # lists and maps within each other in one attribute
_DEEPER = "…"  # stands for what is deeper
_HEX_DIGITS = {16, 32}  # of a span's id and a trace's: 8 and 16 bytes are never as long in base64


@dataclass(frozen=True)
class Link:
    """Another span, most often of another trace, that this one came from.

    Its attributes are left out: Jaeger does not store them.
    """

    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Event:
    """A moment within a span; `time` is in nanoseconds since the epoch."""

    name: str
    time: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """One span; times are nanoseconds since the epoch, ids are hex, `parent_id` of a root is ""."""

    trace_id: str
    span_id: str
    name: str
    service: str
    start: int
    end: int
    parent_id: str = ""
    kind: str = "internal"
    status: str = "unset"
    attributes: Mapping[str, Any] = field(default_factory=dict)
    resource: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def seconds(self) -> float:
        """From start to end."""
        return (self.end - self.start) / 1e9

    @property
    def instance(self) -> str:
        """What tells this span's process from every other one of its service."""
        return str(self.resource.get("service.instance.id", ""))

    @property
    def pod(self) -> str:
        """The pod that the Collector had it from, as `namespace/name`, or ""."""
        namespace, name = (self.resource.get(f"k8s.{key}.name") for key in ("namespace", "pod"))
        return f"{namespace or '?'}/{name}" if name else ""

    @property
    def session(self) -> str:
        """The id of the session that it is a part of, or ""."""
        return str(self.attributes.get(names.SESSION_ID) or "")

    @property
    def pending_for(self) -> str:
        """The id of the open span that this one is a marker for, or ""."""
        if self.attributes.get(names.PENDING) is not True:
            return ""
        return self.text(names.PENDING_SPAN_ID)

    def text(self, name: str) -> str:
        """Return the attribute `name` if it is text, else "".

        Users' code may set any attribute, also one of ours, to a value of any type.
        """
        value = self.attributes.get(name)
        return value if isinstance(value, str) else ""


def in_order(span: Span) -> tuple[int, str]:
    """Return what spans are sorted by: their start, and their id where they began together."""
    return span.start, span.span_id


def parse(traces: Mapping[str, Any]) -> Iterator[Span]:
    """Yield all spans in an OTLP JSON object, from the Collector's file or a store's answer."""
    for group in traces.get("resourceSpans") or traces.get("batches") or ():
        resource = _attributes(group.get("resource", {}))
        for scope in group.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                yield _span(span, resource)


def _span(span: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    return Span(
        trace_id=_id(span["traceId"]),
        span_id=_id(span["spanId"]),
        parent_id=_id(span.get("parentSpanId") or ""),
        name=span.get("name", ""),
        service=str(resource.get("service.name", "")),
        kind=_enum(span.get("kind", 0), _KINDS, "SPAN_KIND_"),
        start=int(span.get("startTimeUnixNano", 0)),
        end=int(span.get("endTimeUnixNano", 0)),
        status=_enum(span.get("status", {}).get("code", 0), _STATUSES, "STATUS_CODE_"),
        attributes=_attributes(span),
        resource=resource,
        events=tuple(
            Event(event.get("name", ""), int(event.get("timeUnixNano", 0)), _attributes(event))
            for event in span.get("events", ())
        ),
        links=tuple(
            Link(_id(link.get("traceId") or ""), _id(link.get("spanId") or ""))
            for link in span.get("links", ())
        ),
    )


def _id(text: str) -> str:
    return text if not text or len(text) in _HEX_DIGITS else base64.b64decode(text).hex()


def _enum(value: int | str, known: tuple[str, ...], prefix: str) -> str:
    if isinstance(value, str):
        return value.removeprefix(prefix).lower()
    return known[value] if 0 <= value < len(known) else str(value)


def _attributes(holder: Mapping[str, Any]) -> dict[str, Any]:
    return _pairs(holder.get("attributes", ()))


def _pairs(items: Iterable[Mapping[str, Any]], depth: int = 0) -> dict[str, Any]:
    # Protobuf's JSON leaves out what is empty, a key as well.
    return {item.get("key", ""): _value(item.get("value", {}), depth) for item in items}


def _value(value: Mapping[str, Any], depth: int) -> Any:
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind in {"arrayValue", "kvlistValue"} and depth == _DEEPEST:
            return _DEEPER
        if kind == "arrayValue":
            return [_value(item, depth + 1) for item in content.get("values", ())]
        if kind == "kvlistValue":
            return _pairs(content.get("values", ()), depth + 1)
        return content
    return None
