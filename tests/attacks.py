"""Requests that one careless or hostile sender makes, by the kind of what is wrong with them.

`python tests/attacks.py NAME URL` posts one; without arguments, their names are printed.
"""

from __future__ import annotations

import gzip
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otlp import new_span, otlp_attributes, resource_metrics, resource_spans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JSON = {"Content-Type": "application/json"}
PROTOBUF = {"Content-Type": "application/x-protobuf"}
SENDER = {"service.name": "careless", "service.instance.id": "careless-1"}
MINUTE = 60 * 10**9
YEAR = 365 * 24 * 60 * MINUTE
LONG = "x" * 1_900_000  # a request may have more
IDS = {"traceId": "ab" * 16, "spanId": "cd" * 8}

# What becomes of an attack: the reason that is counted, or one of these.
KEPT = "kept"  # as it is, or cut
DENIED = "denied"  # the whole request is answered with an error, or its connection closed
DROPPED = "dropped"  # by the destination or on the way there, which the Collector counts


@dataclass(frozen=True)
class Request:
    """An HTTP request to the Collector."""

    path: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Attack:
    """What is sent, and what becomes of it."""

    make: Callable[[], Request]
    outcome: str


def post(url: str, request: Request, timeout: float = 30) -> int:
    """Return the status of the answer; 0 if the connection was closed without one."""
    message = urllib.request.Request(url + request.path, request.body, dict(request.headers))
    try:
        with urllib.request.urlopen(message, timeout=timeout) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def spans(*items: Any, resource: Mapping[str, Any] = SENDER, **fields: Any) -> Request:
    """Send spans, given as OTLP JSON; `fields` are those of the resource's group."""
    return trace_groups({**resource_spans(items, resource), **fields})


def trace_groups(*groups: Any) -> Request:
    return Request("/v1/traces", json.dumps({"resourceSpans": groups}).encode(), JSON)


def metrics(*items: Any, resource: Mapping[str, Any] = SENDER, **fields: Any) -> Request:
    """Send metrics, given as OTLP JSON; `fields` are those of the resource's group."""
    return metric_groups({**resource_metrics(items, resource), **fields})


def metric_groups(*groups: Any) -> Request:
    return Request("/v1/metrics", json.dumps({"resourceMetrics": groups}).encode(), JSON)


def with_neighbour(request: Request, group: Any) -> Request:
    """Add another resource's group to a JSON request, as a process with two providers does."""
    first = b'": ['
    body = request.body.replace(first, first + json.dumps(group).encode() + b", ", 1)
    return Request(request.path, body, request.headers)


def span(**fields: Any) -> Request:
    """Send a span with other fields than usual."""
    return spans(new_span("work") | fields)


def attributes(**values: Any) -> Request:
    return spans(new_span("work", attributes=values))


def event(**fields: Any) -> Request:
    return spans(new_span("work", events=[{"name": "event", "timeUnixNano": "1", **fields}]))


def scope(**fields: Any) -> Request:
    group = resource_spans([new_span("work")], SENDER)
    group["scopeSpans"][0]["scope"] = {"name": "scope", **fields}
    return trace_groups(group)


def now(later: int = 0) -> str:
    """Return OTLP's JSON of a time, so many nanoseconds from now."""
    return str(time.time_ns() + later)


def point(labels: Mapping[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return a point of a gauge or a sum."""
    return {"attributes": otlp_attributes(labels or {}), "timeUnixNano": now(), "asDouble": 1.0,
            **fields}  # fmt: skip


def gauge(*points: Any, name: str = "careless.points", **fields: Any) -> dict[str, Any]:
    return {"name": name, "gauge": {"dataPoints": points}, **fields}


def one(**fields: Any) -> Request:
    """Send a gauge of one point with other fields than usual."""
    return metrics(gauge(point(**fields)))


def labelled(labels: Mapping[str, Any]) -> Request:
    return metrics(gauge(point(labels)))


def counter(*points: Any, temporality: int = 2, name: str = "careless.count") -> dict[str, Any]:
    total = {"aggregationTemporality": temporality, "isMonotonic": True, "dataPoints": points}
    return {"name": name, "sum": total}


def histogram(temporality: int = 2, name: str = "careless.histogram", **fields: Any) -> Any:
    """Return a histogram of one point."""
    data = {"startTimeUnixNano": now(-(10**10)), "timeUnixNano": now(), "count": "3", "sum": 4.0,
            "bucketCounts": ["1", "2"], "explicitBounds": [1.0], **fields}  # fmt: skip
    content = {"aggregationTemporality": temporality, "dataPoints": [data]}
    return {"name": name, "histogram": content}


def exponential(temporality: int = 2, name: str = "careless.native", **fields: Any) -> Any:
    """Return an exponential histogram of one point."""
    data = {"startTimeUnixNano": now(-(10**10)), "timeUnixNano": now(), "count": "3", "sum": 4.0,
            "scale": 1, "zeroCount": "1", "positive": buckets("1", "1"), **fields}  # fmt: skip
    content = {"aggregationTemporality": temporality, "dataPoints": [data]}
    return {"name": name, "exponentialHistogram": content}


def buckets(*counts: str, offset: int = 0) -> dict[str, Any]:
    return {"offset": offset, "bucketCounts": counts}


def summary(*quantiles: tuple[Any, float], **fields: Any) -> dict[str, Any]:
    """Return a summary of one point."""
    values = [{"quantile": quantile, "value": value} for quantile, value in quantiles]
    data = {"timeUnixNano": now(), "count": "1", "sum": 1.0, "quantileValues": values, **fields}
    return {"name": "careless.summary", "summary": {"dataPoints": [data]}}


def exemplar(later: int = 0, **fields: Any) -> dict[str, Any]:
    return {"timeUnixNano": now(later), "asDouble": 1.0, **IDS, **fields}


def deep(depth: int) -> Request:
    """Send lists in lists, deeper than Python's own encoder goes."""
    request = attributes(deep="PLACE")
    value = '{"arrayValue":{"values":[' * depth + '{"stringValue":"x"}' + "]}}" * depth
    body = request.body.replace(b'{"stringValue": "PLACE"}', value.encode())
    return Request(request.path, body, JSON)


def deep_protobuf(depth: int) -> Request:
    """Send lists in lists, where they cost the fewest bytes."""
    bottom = field(1, b"bottom")
    heads, size = [], len(bottom)
    for _ in range(depth):
        for number in (1, 5):
            heads.append(_head(number, size))
            size += len(heads[-1])
    value = b"".join(reversed(heads)) + bottom
    return protobuf(field(9, field(1, b"deep") + field(2, value)))


def protobuf(more: bytes = b"", trace: bytes = b"t" * 16, name: bytes = b"work") -> Request:
    """Send a span as protobuf; `more` are fields of the span, as they are on the wire."""
    at = time.time_ns().to_bytes(8, "little")
    times = b"\x39" + at + b"\x41" + at
    content = field(1, trace) + field(2, secrets.token_bytes(8)) + field(5, name) + times + more
    service = field(1, b"service.name") + field(2, field(1, b"careless"))
    group = field(1, field(1, service)) + field(2, field(2, content))
    return Request("/v1/traces", field(1, group), PROTOBUF)


def field(number: int, content: bytes) -> bytes:
    """Return a field of protobuf that has a length."""
    return _head(number, len(content)) + content


def _head(number: int, size: int) -> bytes:
    return _varint(number << 3 | 2) + _varint(size)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def protobuf_of(path: str, *numbers: int) -> Request:
    """Send a million empty items, of two bytes each and a hundred times as much memory.

    `numbers` are the fields that lead to the item, from the request on.
    """
    *way, last = numbers
    content = field(last, b"") * 1_000_000
    for number in reversed(way):
        content = field(number, content)
    return Request(path, content, PROTOBUF)


@cache
def bomb() -> bytes:
    """Return a hundred megabytes, compressed."""
    return gzip.compress(b" " * 10**8)


def compressed(request: Request) -> Request:
    headers = {**request.headers, "Content-Encoding": "gzip"}
    return Request(request.path, gzip.compress(request.body), headers)


def many(count: int, **fields: Any) -> Request:
    return spans(*(new_span("work", **fields) for _ in range(count)))


def services(count: int) -> Request:
    return trace_groups(
        *(
            resource_spans([new_span("work")], {"service.name": secrets.token_hex(8)})
            for _ in range(count)
        )
    )


def processes(count: int) -> Request:
    return metric_groups(
        *(
            resource_metrics([gauge(point())], {**SENDER, "service.instance.id": str(number)})
            for number in range(count)
        )
    )


def twice() -> Request:
    at = now()
    first, second = (point(timeUnixNano=at, asDouble=value) for value in (1.0, 2.0))
    return metrics(gauge(first, second))


def fresh(count: int) -> list[Any]:
    return [point({"label": secrets.token_hex(8)}) for _ in range(count)]


TRACES = {
    "span without a trace id": Attack(lambda: span(traceId=""), "id"),
    "span without a span id": Attack(lambda: span(spanId=""), "id"),
    "trace id of zeros": Attack(lambda: span(traceId="0" * 32), "id"),
    "trace id of 8 bytes": Attack(lambda: span(traceId="ab" * 8), DENIED),
    "trace id of 8 bytes, protobuf": Attack(lambda: protobuf(trace=b"t" * 8), DENIED),
    "span of 1970": Attack(lambda: span(startTimeUnixNano="1", endTimeUnixNano="2"), "time"),
    "span without times": Attack(lambda: span(startTimeUnixNano="0", endTimeUnixNano="0"), "time"),
    "span a year ahead": Attack(
        lambda: span(startTimeUnixNano=now(YEAR), endTimeUnixNano=now(YEAR)), "time"
    ),
    "span that ends in a year": Attack(lambda: span(endTimeUnixNano=now(YEAR)), "time"),
    "span that ends in 2554": Attack(lambda: span(endTimeUnixNano=str(2**64 - 1)), KEPT),
    "span that ends before it begins": Attack(lambda: span(endTimeUnixNano=now(-(10**10))), KEPT),
    "span without a name": Attack(lambda: span(name=""), KEPT),
    "span's name of 2 MB": Attack(lambda: span(name=LONG), KEPT),
    "span's name of 17 MB": Attack(lambda: span(name=LONG * 9), DENIED),
    "span's name that is not UTF-8": Attack(lambda: protobuf(name=b"\xe9t\xe9 \xff"), KEPT),
    "attribute of 2 MB": Attack(lambda: attributes(note=LONG), KEPT),
    "attribute of 8 MB": Attack(lambda: attributes(note=LONG * 4), DENIED),
    "attribute of 100 kB": Attack(lambda: attributes(note="x" * 100_000), KEPT),
    "attribute's key of 2 MB": Attack(lambda: attributes(**{LONG: "x"}), KEPT),
    "attribute's key of 100 kB": Attack(lambda: attributes(**{"x" * 100_000: "x"}), KEPT),
    "attribute without a key": Attack(lambda: attributes(**{"": "x"}), KEPT),
    "list of 1,000 strings": Attack(lambda: attributes(list=["x" * 1000] * 1000), "size"),
    "list of a string of 2 MB": Attack(lambda: attributes(list=[LONG]), "size"),
    "lists 50,000 deep": Attack(lambda: deep(50_000), "size"),
    "lists 150,000 deep, protobuf": Attack(lambda: deep_protobuf(150_000), "size"),
    "list of a string of 2 MB, compressed": Attack(
        lambda: compressed(attributes(list=[LONG])), "size"
    ),
    "100 attributes of 4 kB": Attack(
        lambda: attributes(**{f"a{n}": "x" * 4000 for n in range(100)}), "size"
    ),
    "10,000 attributes": Attack(lambda: attributes(**{f"a{n}": n for n in range(10_000)}), KEPT),
    "status of a cell that is a list": Attack(
        lambda: attributes(**{"session.id": "careless", "jupyter.cell.status": ["died"]}), KEPT
    ),
    "claim to be refused": Attack(lambda: attributes(**{"af_otel.refused": "id"}), "claimed"),
    "10,000 events": Attack(
        lambda: spans(new_span("work", events=[{"name": "e", "timeUnixNano": "1"}] * 10_000)),
        "events or links",
    ),
    "event's name of 2 MB": Attack(lambda: event(name=LONG), KEPT),
    "event's attribute of 2 MB": Attack(
        lambda: event(attributes=otlp_attributes({"a": LONG})), KEPT
    ),
    "event's list of 2 MB": Attack(lambda: event(attributes=otlp_attributes({"a": [LONG]})), KEPT),
    "event's 10,000 attributes": Attack(
        lambda: event(attributes=otlp_attributes({f"a{n}": n for n in range(10_000)})), KEPT
    ),
    "10,000 links": Attack(
        lambda: spans(new_span("work", links=[IDS] * 10_000)), "events or links"
    ),
    "link without ids": Attack(
        lambda: spans(new_span("work", links=[{"traceId": "", "spanId": ""}])), KEPT
    ),
    "link's attribute of 2 MB": Attack(
        lambda: spans(
            new_span("work", links=[{**IDS, "attributes": otlp_attributes({"a": LONG})}])
        ),
        KEPT,
    ),
    "status' message of 2 MB": Attack(lambda: span(status={"code": 2, "message": LONG}), KEPT),
    "trace state of 2 MB": Attack(lambda: span(traceState=LONG), KEPT),
    "scope's name of 2 MB": Attack(lambda: scope(name=LONG), KEPT),
    "scope's version of 2 MB": Attack(lambda: scope(version=LONG), KEPT),
    "scope's attribute of 2 MB": Attack(
        lambda: scope(attributes=otlp_attributes({"a": LONG})), KEPT
    ),
    "schema's URL of 2 MB": Attack(lambda: spans(new_span("work"), schemaUrl=LONG), KEPT),
    "resource's attribute of 2 MB": Attack(
        lambda: spans(new_span("work"), resource={**SENDER, "a": LONG}), KEPT
    ),
    "resource's list of 2 MB": Attack(
        lambda: spans(new_span("work"), resource={**SENDER, "a": [LONG]}), KEPT
    ),
    "resource's 10,000 attributes": Attack(
        lambda: spans(new_span("work"), resource={f"a{n}": n for n in range(10_000)}), KEPT
    ),
    "resource without attributes": Attack(lambda: spans(new_span("work"), resource={}), KEPT),
    "service's name of 2 MB": Attack(
        lambda: spans(new_span("work"), resource={"service.name": LONG}), KEPT
    ),
    "service's name that is a list": Attack(
        lambda: spans(new_span("work"), resource={"service.name": ["careless"]}), KEPT
    ),
    "100,000 spans of one trace": Attack(lambda: many(100_000, trace_id="c" * 32), DENIED),
    "8,000 spans of one trace": Attack(lambda: many(8_000, trace_id="d" * 32), "many"),
    "8,000 traces": Attack(lambda: many(8_000), "many"),
    "4,000 services": Attack(lambda: services(4_000), KEPT),
    "8,000 names of spans": Attack(
        lambda: spans(*(new_span(secrets.token_hex(8)) for _ in range(8_000))), "many"
    ),
    "one span 8,000 times": Attack(lambda: spans(*([new_span("work")] * 8_000)), "many"),
    "1,000,000 empty spans": Attack(lambda: protobuf_of("/v1/traces", 1, 2, 2), DROPPED),
    "1,000,000 empty scopes": Attack(lambda: protobuf_of("/v1/traces", 1, 2), KEPT),
    "1,000,000 empty resources": Attack(lambda: protobuf_of("/v1/traces", 1), KEPT),
    "1,000,000 empty events": Attack(
        lambda: protobuf(field(11, b"") * 1_000_000), "events or links"
    ),
    "1,000,000 empty links": Attack(
        lambda: protobuf(field(13, b"") * 1_000_000), "events or links"
    ),
    "1,000,000 empty attributes": Attack(lambda: protobuf(field(9, b"") * 1_000_000), KEPT),
    "100 MB, compressed": Attack(
        lambda: Request("/v1/traces", bomb(), {**JSON, "Content-Encoding": "gzip"}), DENIED
    ),
    "no OTLP at all": Attack(lambda: Request("/v1/traces", b"\x00" * 100_000, PROTOBUF), DENIED),
}

METRICS = {
    "point a year ahead": Attack(lambda: one(timeUnixNano=now(YEAR)), "time"),
    "point 15 minutes ahead": Attack(lambda: one(timeUnixNano=now(15 * MINUTE)), "time"),
    "point an hour behind": Attack(lambda: one(timeUnixNano=now(-60 * MINUTE)), "time"),
    "point of 1970": Attack(lambda: one(timeUnixNano="1"), "time"),
    "point of 2554": Attack(lambda: one(timeUnixNano=str(2**64 - 1)), "time"),
    "point without a time": Attack(lambda: one(timeUnixNano="0"), DROPPED),
    "point that starts in a year": Attack(lambda: one(startTimeUnixNano=now(YEAR)), KEPT),
    "point without a value": Attack(
        lambda: metrics(gauge({"timeUnixNano": now()}, name="careless.nothing")), KEPT
    ),
    "histogram a year ahead": Attack(lambda: metrics(histogram(timeUnixNano=now(YEAR))), "time"),
    "summary a year ahead": Attack(
        lambda: metrics(summary((0.5, 1), timeUnixNano=now(YEAR))), "time"
    ),
    "native histogram of 1970": Attack(lambda: metrics(exponential(timeUnixNano="1")), "time"),
    "native histogram whose count is wrong": Attack(
        lambda: metrics(exponential(count="12345")), DROPPED
    ),
    "native histogram whose counts overflow": Attack(
        lambda: metrics(exponential(zeroCount=str(2**64 - 1), positive=buckets("4"))), DROPPED
    ),
    "native histogram of scale -11": Attack(lambda: metrics(exponential(scale=-11)), "histogram"),
    "native histogram of scale 100": Attack(lambda: metrics(exponential(scale=100)), "histogram"),
    "native histogram of scale 20": Attack(
        lambda: metrics(exponential(name="careless.fine", scale=20)), KEPT
    ),
    "native histogram of a huge offset": Attack(
        lambda: metrics(exponential(positive=buckets("1", "1", offset=2**31 - 1))), "histogram"
    ),
    "native histogram of 100,000 buckets": Attack(
        lambda: metrics(exponential(count="100001", positive=buckets(*["1"] * 100_000))), "buckets"
    ),
    "native histogram with a sum of NaN": Attack(lambda: metrics(exponential(sum="NaN")), DROPPED),
    "native histogram with a threshold of NaN": Attack(
        lambda: metrics(exponential(name="careless.threshold", zeroThreshold="NaN")), DROPPED
    ),
    "histogram whose count is wrong": Attack(
        lambda: metrics(histogram(name="careless.wrong", count="99")), KEPT
    ),
    "histogram with a bucket too few": Attack(
        lambda: metrics(histogram(bucketCounts=["3"])), "histogram"
    ),
    "histogram with buckets too many": Attack(
        lambda: metrics(histogram(bucketCounts=["1"] * 3)), "histogram"
    ),
    "histogram with unsorted bounds": Attack(
        lambda: metrics(
            histogram(name="careless.unsorted", bucketCounts=["1"] * 3, explicitBounds=[2.0, 1.0])
        ),
        KEPT,
    ),
    "histogram with a bound twice": Attack(
        lambda: metrics(
            histogram(name="careless.twice", bucketCounts=["1"] * 3, explicitBounds=[1.0, 1.0])
        ),
        DROPPED,
    ),
    "histogram with a bound of NaN": Attack(
        lambda: metrics(histogram(name="careless.nan", explicitBounds=["NaN"])), KEPT
    ),
    "histogram of 100,000 buckets": Attack(
        lambda: metrics(
            histogram(
                count="100001", bucketCounts=["1"] * 100_001, explicitBounds=list(range(100_000))
            )
        ),
        "buckets",
    ),
    "summary of 10,000 quantiles": Attack(
        lambda: metrics(summary(*((n / 10_000, 1.0) for n in range(10_000)))), "buckets"
    ),
    "summary with a quantile twice": Attack(lambda: metrics(summary((0.5, 1), (0.5, 2))), DROPPED),
    "summary with impossible quantiles": Attack(
        lambda: metrics(summary((7, 1), (-1, 2), ("NaN", 3))), KEPT
    ),
    "histogram of deltas": Attack(lambda: metrics(histogram(1, name="careless.delta")), KEPT),
    "counter of no temporality": Attack(
        lambda: metrics(counter(point(), temporality=0)), "temporality"
    ),
    "metric without a name": Attack(lambda: metrics(gauge(point(), name="")), "name"),
    "metric's name of spaces": Attack(lambda: metrics(gauge(point(), name="   ")), "name"),
    "metric's name of 2 MB": Attack(lambda: metrics(gauge(point(), name=LONG)), "name"),
    "metric's name of odd characters": Attack(
        lambda: metrics(gauge(point(), name='1 \n"{}=é\0a')), KEPT
    ),
    "metric's unit of 2 MB": Attack(
        lambda: metrics(gauge(point(), name="careless.unit", unit=LONG)), KEPT
    ),
    "metric's description of 2 MB": Attack(
        lambda: metrics(gauge(point(), name="careless.about", description=LONG)), KEPT
    ),
    "metric without points": Attack(lambda: metrics(gauge()), KEPT),
    "metric without a type": Attack(lambda: metrics({"name": "careless.nothing"}), KEPT),
    "label of 1 MB": Attack(lambda: labelled({"label": "x" * 1_000_000}), "labels"),
    "label of 2 MB": Attack(lambda: labelled({"label": LONG}), "labels"),
    "label's name of 2 MB": Attack(lambda: labelled({LONG: "x"}), "labels"),
    "label that is a list of 2 MB": Attack(lambda: labelled({"list": [LONG]}), "labels"),
    "label without a name": Attack(lambda: labelled({"": "x"}), KEPT),
    "label of odd characters": Attack(lambda: labelled({"\n\0 ": "\0\n"}), KEPT),
    "labels that become one": Attack(lambda: labelled({"a.b": "1", "a_b": "2"}), KEPT),
    "labels that Prometheus sets": Attack(
        lambda: labelled({"__name__": "up", "job": "hub", "instance": "hub"}), KEPT
    ),
    "labels of a histogram": Attack(
        lambda: metrics(histogram(name="careless.le", attributes=otlp_attributes({"le": "1"}))),
        KEPT,
    ),
    "10,000 labels": Attack(lambda: labelled({f"a{n}": n for n in range(10_000)}), "labels"),
    "one name, three types": Attack(
        lambda: metrics(
            gauge(point(), name="clash"), counter(point(), name="clash"), histogram(name="clash")
        ),
        KEPT,
    ),
    "names of a histogram's parts": Attack(
        lambda: metrics(histogram(name="part"), gauge(point(), name="part_count")), DROPPED
    ),
    "metric named target_info": Attack(
        lambda: metrics(gauge(point(), name="target_info")), "reserved"
    ),
    "two points of a series at one time": Attack(twice, DROPPED),
    "points of a series backwards": Attack(
        lambda: metrics(
            gauge(
                *(point(timeUnixNano=now(-n * 10**9)) for n in range(100)),
                name="careless.backwards",
            )
        ),
        KEPT,
    ),
    "10,000 exemplars": Attack(
        lambda: metrics(counter(point(exemplars=[exemplar(n) for n in range(10_000)]))),
        "exemplars",
    ),
    "exemplar a year ahead": Attack(
        lambda: metrics(histogram(name="careless.ahead", exemplars=[exemplar(YEAR)])), KEPT
    ),
    "exemplar of 2 MB": Attack(
        lambda: metrics(
            histogram(
                name="careless.exemplar",
                exemplars=[exemplar(filteredAttributes=otlp_attributes({"a": LONG}))],
            )
        ),
        KEPT,
    ),
    "10,000 new series": Attack(lambda: metrics(gauge(*fresh(10_000))), KEPT),
    "10,000 new metrics": Attack(
        lambda: metrics(
            *(gauge(point(), name=f"careless.{secrets.token_hex(8)}") for _ in range(10_000))
        ),
        KEPT,
    ),
    "5,000 processes": Attack(lambda: processes(5_000), KEPT),
    "1,000,000 empty points": Attack(lambda: protobuf_of("/v1/metrics", 1, 2, 2, 5, 1), DROPPED),
    "1,000,000 empty metrics": Attack(lambda: protobuf_of("/v1/metrics", 1, 2, 2), KEPT),
    "instance's name of 2 MB": Attack(
        lambda: metrics(gauge(point()), resource={**SENDER, "service.instance.id": LONG}), KEPT
    ),
    "resource's label of 2 MB": Attack(
        lambda: metrics(gauge(point()), resource={**SENDER, "service.version": LONG}), KEPT
    ),
    "resource's 10,000 labels": Attack(
        lambda: metrics(gauge(point()), resource={f"service.a{n}": n for n in range(10_000)}), KEPT
    ),
    "metrics of no resource": Attack(
        lambda: metrics(gauge(point(), name="careless.nobody"), resource={}), KEPT
    ),
    "no metrics at all": Attack(
        lambda: Request("/v1/metrics", b"\x00" * 100_000, PROTOBUF), DENIED
    ),
}

ATTACKS = TRACES | METRICS


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"{Path(__file__).name} NAME URL, where NAME is one of\n" + "\n".join(ATTACKS))
    print(post(sys.argv[2], ATTACKS[sys.argv[1]].make()))
