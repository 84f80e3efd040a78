"""Secrets that are sent straight to the Collector, and what only resembles them."""

from __future__ import annotations

import json
import re
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from otlp import new_counter, new_span, otlp_attributes
from secret_forms import KEYS, ORDINARY, SPAN_KEYS, VALUES, secret

from servers import (
    ROOT,
    get_json,
    post_json,
    running_collector,
    running_jaeger,
    running_prometheus,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from servers import Collector

CONFIGS = tuple(ROOT / "collector-config" / name for name in ("base.yaml", "local.yaml"))
SECRET = re.compile(r"canary7x(\d{4})q")
SENDER = {"service.name": "theirs", "service.namespace": "testing", "service.instance.id": "1"}

# Where a value can be: a request to send, which has it there.
SPAN_PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "attribute": lambda value: spans(attributes={"note": value}),
    "known attribute": lambda value: spans(attributes={"jupyter.kernel.name": value}),
    "list": lambda value: spans(attributes={"notes": ["x", value]}),
    "map": lambda value: spans(
        attributes={}, raw=[{"key": "m", "value": {"kvlistValue": {"values": [
            {"key": "inner", "value": {"stringValue": value}}]}}}]
    ),
    "span's name": lambda value: spans(name=value),
    "event": lambda value: spans(events=[event("x", {"note": value})]),
    "event's name": lambda value: spans(events=[event(value, {})]),
    "status": lambda value: spans(status={"code": 2, "message": value}),
    "trace state": lambda value: spans(traceState=value),
    "resource": lambda value: spans(resource={**SENDER, "note": value}),
    "service.version": lambda value: spans(resource={**SENDER, "service.version": value}),
    "scope": lambda value: spans(scope={"name": "s", "attributes": otlp_attributes({"a": value})}),
    "scope's name": lambda value: spans(scope={"name": value}),
    "scope's version": lambda value: spans(scope={"name": "s", "version": value}),
    "schema": lambda value: spans(schema=value),
}  # fmt: skip
METRIC_PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "label": lambda value: metrics(labels={"note": value}),
    "known label": lambda value: metrics(labels={"jupyter.kernel.name": value}),
    "metric's name": lambda value: metrics(name=value),
    "unit": lambda value: metrics(unit=value),
    "description": lambda value: metrics(description=value),
    "exemplar": lambda value: metrics(exemplar={"note": value}),
    "exemplar's known label": lambda value: metrics(exemplar={"session.id": value}),
    "metric's resource": lambda value: metrics(resource={**SENDER, "service.version": value}),
    "metric's scope": lambda value: metrics(scope={"name": value}),
}


def spans(
    name: str = "planted",
    *,
    resource: Any = SENDER,
    scope: Any = None,
    schema: str = "",
    raw: Any = (),
    attributes: Any = None,
    **fields: Any,
) -> dict[str, Any]:
    span = new_span(name, attributes=attributes, **fields)
    span["attributes"] += raw
    group = {"scope": scope or {"name": "test"}, "spans": [span], "schemaUrl": schema}
    described = {"attributes": otlp_attributes(resource)}
    return {"resourceSpans": [{"resource": described, "scopeSpans": [group], "schemaUrl": schema}]}


def event(name: str, attributes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "timeUnixNano": "1", "attributes": otlp_attributes(attributes)}


def metrics(
    name: str = "planted",
    *,
    labels: Any = None,
    unit: str = "1",
    description: str = "",
    exemplar: Any = None,
    resource: Any = SENDER,
    scope: Any = None,
) -> dict[str, Any]:
    metric = {**new_counter(name, 1, labels), "unit": unit, "description": description}
    (point,) = metric["sum"]["dataPoints"]
    if exemplar:
        kept = otlp_attributes(exemplar)
        point["exemplars"] = [
            {"asInt": "1", "timeUnixNano": point["timeUnixNano"], "filteredAttributes": kept}
        ]
    group = {"scope": scope or {"name": "test"}, "metrics": [metric]}
    described = {"attributes": otlp_attributes(resource)}
    return {"resourceMetrics": [{"resource": described, "scopeMetrics": [group]}]}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    with (
        running_jaeger(tmp_path_factory.mktemp("jaeger")) as jaeger,
        running_prometheus(tmp_path_factory.mktemp("prometheus")) as prometheus,
    ):
        yield jaeger, prometheus


@pytest.fixture(scope="module")
def collector(tmp_path_factory, stores):
    """The Collector of `af-otel up`, with its stores."""
    jaeger, prometheus = stores
    env = {
        "AF_OTEL_TRACES_OTLP": jaeger.otlp_endpoint,
        "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url,
        "AF_OTEL_SPAN_METRICS_INTERVAL": "500ms",
    }
    with running_collector(tmp_path_factory.mktemp("collector"), CONFIGS, env) as running:
        yield running


@pytest.fixture
def plain(tmp_path):
    """A Collector that writes all that it lets out to files."""
    with running_collector(tmp_path / "collector") as running:
        yield running


def send(collector: Collector, body: dict[str, Any]) -> None:
    path = "traces" if "resourceSpans" in body else "metrics"
    assert post_json(f"{collector.endpoint}/v1/{path}", body) == 200


def planted() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every form in every place, each with a secret of its own, and what it is."""
    numbers = count()
    for place, make in {**SPAN_PLACES, **METRIC_PLACES}.items():
        for form, text in VALUES.items():
            yield f"{form}, {place}", make(text % secret(next(numbers)))
    for key in (*KEYS, *SPAN_KEYS):
        value = secret(next(numbers))
        yield f"key {key}, attribute", spans(attributes={key: value})
        value = secret(next(numbers))
        yield f"key {key}, event", spans(events=[event("x", {key: value})])
    for key in KEYS:
        yield f"key {key}, label", metrics(labels={key: secret(next(numbers))})
        yield f"key {key}, resource", spans(resource={**SENDER, key: secret(next(numbers))})


def halves(attributes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divide attributes, as a resource or a point has 64 at most."""
    items = list(attributes.items())
    return dict(items[:40]), dict(items[40:])


def left_of(texts: Iterable[str], sent: list[str]) -> list[str]:
    """Return which of the forms and places have left their secret in a text."""
    numbers = {int(number) for text in texts for number in SECRET.findall(text)}
    return [sent[number] for number in sorted(numbers)]


def files_of(collector: Collector) -> list[str]:
    files = filter(Path.is_file, collector.directory.rglob("*"))
    return [path.read_text(errors="replace") for path in files]


def send_all(collector: Collector) -> list[str]:
    sent = []
    for what, body in planted():
        send(collector, body)
        sent.append(what)
    return sent


def test_no_form_of_a_secret_gets_out_of_any_place(plain):
    """Nor into the Collector's log."""
    sent = send_all(plain)
    plain.send(new_span("the last one"), resource=SENDER)
    plain.send_metrics(new_counter("the_last_one", 1), resource=SENDER)
    plain.wait_for_span("the last one")
    wait_for(lambda: plain.points("the_last_one"), "the last metric")

    assert left_of(files_of(plain), sent) == []
    assert len(plain.spans()) > len(VALUES) * len(SPAN_PLACES)


def test_no_form_of_a_secret_is_stored(collector, stores):
    """Neither in Jaeger nor in Prometheus, nor in the file beside them."""
    jaeger, prometheus = stores
    sent = send_all(collector)
    last = new_span("the last one")
    collector.send(last, resource=SENDER)
    collector.send_metrics(new_counter("the_last_one", 1), resource=SENDER)
    wait_for(lambda: prometheus.query("the_last_one_total"), "the last metric")
    wait_for(lambda: jaeger.raw(last["traceId"]), "the last span")
    collector.wait_for_span("the last one")

    traces = get_json(f"{jaeger.url}/api/traces", service=SENDER["service.name"], limit="10000")
    every = {"match[]": '{__name__!=""}'}
    series = get_json(f"{prometheus.url}/api/v1/series", **every)
    assert left_of([json.dumps(traces), json.dumps(series), *files_of(collector)], sent) == []
    assert len(traces["data"]) > len(VALUES) * 10
    assert len(series["data"]) > len(VALUES) * 2


def test_what_only_resembles_a_secret_stays_on_spans(collector):
    """And on their events, and of their resource and scope."""
    scope = {"name": "test", "attributes": otlp_attributes(ORDINARY)}
    send(collector, spans("ordinary", attributes=ORDINARY, events=[event("x", ORDINARY)]))
    send(
        collector, spans("of a resource", resource={**SENDER, **dict(list(ORDINARY.items())[:60])})
    )
    send(
        collector, spans("of a resource", resource={**SENDER, **dict(list(ORDINARY.items())[60:])})
    )
    send(collector, spans("of a scope", scope=scope))

    span = collector.wait_for_span("ordinary")

    def both():
        found = collector.spans("of a resource")
        return found if len(found) == 2 else None

    parts = wait_for(both, "the resources")
    collector.wait_for_span("of a scope")

    for place in (span["attributes"], span["events"][0]["attributes"]):
        assert place == ORDINARY
    assert parts[0]["resource"] | parts[1]["resource"] == SENDER | ORDINARY
    (scope,) = (
        group["scope"]
        for line in map(json.loads, collector.spans_file.read_text().splitlines())
        for resource in line["resourceSpans"]
        for group in resource["scopeSpans"]
        if group["spans"][0]["name"] == "of a scope"
    )
    assert {item["key"]: item["value"] for item in scope["attributes"]} == {
        item["key"]: item["value"] for item in otlp_attributes(ORDINARY)
    }


def test_what_only_resembles_a_secret_stays_on_metrics(collector, stores):
    """As labels, which Prometheus writes with underscores."""
    _, prometheus = stores
    for number, part in enumerate(halves(ORDINARY)):
        send(collector, metrics(f"ordinary_{number}", labels=part))

    def stored():
        found = prometheus.query('{__name__=~"ordinary_.*_total"}')
        return found if len(found) == 2 else None

    first, second = (series["metric"] for series in wait_for(stored, "the counters"))
    labels = {re.sub(r"\W", "_", key): json.dumps(value) for key, value in ORDINARY.items()}
    found = {
        key: value if labels[key][0] != '"' else json.dumps(value)
        for key, value in (first | second).items()
        if key in labels
    }
    assert found == labels


def test_what_only_resembles_a_secret_stays_in_names_and_descriptions(plain):
    """Names of spans, events and scopes; of metrics, which have no spaces."""
    texts = sorted({value for value in ORDINARY.values() if isinstance(value, str)})
    for number, text in enumerate(texts):
        send(plain, metrics(f"described_{number}", description=text))
        send(plain, spans(name=f"number {number}", scope={"name": text}, events=[event(text, {})]))
        send(plain, spans(name=text))
    last = f"described_{len(texts) - 1}"
    wait_for(lambda: plain.points(last), "the last metric")
    plain.wait_for_span(f"number {len(texts) - 1}")

    metrics_file = plain.metrics_file.read_text()
    assert [text for text in texts if json.dumps(text)[1:-1] not in metrics_file] == []
    scopes = {span["scope"] for span in plain.spans()}
    assert set(texts) <= scopes
    names = {span["name"] for span in plain.spans()}
    events = {event["name"] for span in plain.spans() for event in span["events"]}
    for found in (names, events):
        assert {text for text in texts if "?" not in text} <= found
