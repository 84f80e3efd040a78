"""A bad item costs itself, not its neighbours: both overlays with real stores behind them."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import time
from collections import Counter
from dataclasses import dataclass, field

import pytest
from attacks import (
    ATTACKS,
    DENIED,
    DROPPED,
    JSON,
    KEPT,
    METRICS,
    SENDER,
    counter,
    exponential,
    gauge,
    histogram,
    metric_groups,
    now,
    point,
    post,
    trace_groups,
    with_neighbour,
)
from gateways import ALL, running_gateway, self_metrics
from otlp import new_span, resource_metrics, resource_spans

from af_otel.backends import refused
from af_otel.backends.prometheus import Prometheus
from servers import (
    ROOT,
    get_json,
    running_collector,
    running_jaeger,
    running_prometheus,
    serving,
    wait_for,
)

LOCAL = (ROOT / "collector-config" / "base.yaml", ROOT / "collector-config" / "local.yaml")
# Of 8,000 spans of a resource, those beyond 2,048.
MANY = 8000 - 2048
OTHERS = {KEPT, DENIED, DROPPED}


@contextlib.contextmanager
def running(overlay, directory, env):
    """Run a Collector with an overlay, and nothing to scrape but itself."""
    # Not more often: one of the attacks is thousands of names, and each is a histogram.
    settings = {"AF_OTEL_SPAN_METRICS_INTERVAL": "5s", **env}
    if overlay == "local":
        with running_collector(directory, LOCAL, settings) as collector:
            yield collector
    else:
        with running_gateway(directory, {**ALL, **settings}) as collector:
            yield collector


@dataclass
class Attacked:
    """A facility that every attack was tried on, and what came of it."""

    overlay: str
    collector: object
    jaeger: object
    prometheus: object
    answers: dict[str, int] = field(default_factory=dict)

    @property
    def instance(self):
        """Return the sender's `instance`: on Kubernetes it begins with the pod, here none."""
        own = SENDER["service.instance.id"]
        return f"-/{own}" if self.overlay == "kubernetes" else own

    def names(self, service):
        """Return the names of a service's stored spans."""
        query = {"service": service, "limit": "1000"}
        found = get_json(f"{self.jaeger.url}/api/traces", **query)["data"]
        return {span["operationName"] for trace in found for span in trace["spans"]}

    def points(self, service):
        """Return the attacks that a service's stored points name."""
        return {series["metric"]["attack"] for series in self.prometheus.query(f"{service}_points")}

    def stored(self, service):
        return self.names(service), self.points(service)


def signs(service, attack):
    """Return a span and a point, each in its group, that say which attack they belong to."""
    resource = {"service.name": service, "service.instance.id": service}
    marked = gauge(point({"attack": attack}), name=f"{service}.points")
    return resource_spans([new_span(attack)], resource), resource_metrics([marked], resource)


@pytest.fixture(scope="module", params=["local", "kubernetes"])
def attacked(request, tmp_path_factory):
    """Try every attack once: with a neighbour in its own request, and a victim's after it."""
    directory = tmp_path_factory.mktemp("attacked")
    with (
        running_jaeger(directory / "jaeger") as jaeger,
        running_prometheus(directory / "prometheus") as prometheus,
    ):
        env = {
            "AF_OTEL_TRACES_OTLP": jaeger.otlp_endpoint,
            "AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url,
        }
        with running(request.param, directory / "collector", env) as collector:
            made = Attacked(request.param, collector, jaeger, prometheus)
            for name, attack in ATTACKS.items():
                sent = attack.make()
                if attack.outcome != DENIED and sent.headers == JSON:
                    sent = with_neighbour(sent, signs("neighbour", name)[name in METRICS])
                made.answers[name] = post(collector.endpoint, sent)
                span, marked = signs("victim", name)
                for ordinary in (trace_groups(span), metric_groups(marked)):
                    wait_for(lambda body=ordinary: accepted(collector, body), "it accepted")
            yield made


def waiting(collector):
    """Return the queues that are not empty; the journal keeps each span for a while."""
    return {
        name: value
        for name, value in self_metrics(collector).items()
        if name.startswith("otelcol_exporter_queue_size")
        and value
        and "journal" not in name
        and "pause" not in name
    }


def accepted(collector, request):
    """Send a victim's request once more, as an SDK does when it is refused for now."""
    return post(collector.endpoint, request) == 200


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_costs_itself(attacked, name):
    """Whoever sends next, or is in the same request, is stored; a request is denied as a whole
    only if it cannot be read or is too large.
    """
    wait_for(lambda: name in attacked.names("victim"), "the victim's span")
    wait_for(lambda: name in attacked.points("victim"), "the victim's point")
    if ATTACKS[name].outcome == DENIED:
        assert attacked.answers[name] in {0, 400, 413}
        return
    assert attacked.answers[name] == 200
    if ATTACKS[name].make().headers == JSON:
        index = name in METRICS
        wait_for(
            lambda: name in attacked.stored("neighbour")[index], "the neighbour in its request"
        )


def test_refused_items_are_counted(attacked):
    """By sender, signal and reason."""
    expected = Counter()
    for name, attack in ATTACKS.items():
        if attack.outcome not in OTHERS:
            kind = "points" if name in METRICS else "spans"
            expected[kind, attack.outcome] += MANY if attack.outcome == "many" else 1

    def counted():
        return Counter({
            (kind, series["metric"]["reason"]): int(series["value"][1])
            for kind in ("spans", "points")
            for series in attacked.prometheus.query(
                f"sum by (reason) (af_otel_refused_{kind}_total)"
            )
        })  # fmt: skip

    with contextlib.suppress(AssertionError):
        wait_for(lambda: counted() == expected, "the counts")
    assert counted() == expected
    series = attacked.prometheus.query('af_otel_refused_points_total{reason="buckets"}')
    assert {s["metric"]["instance"] for s in series} == {attacked.instance}


def test_status_says_what_was_refused(attacked):
    """By sender where it is known, with the reason, the most first."""
    wanted = {"spans of `careless careless-1`: size"}
    if attacked.overlay == "kubernetes":  # which names its facility, and scrapes itself
        wanted = {
            "spans of `testing/careless -/careless-1`: size",
            "spans: without ids, or without a time",
            "requests: too large, or not OTLP",
        }

    def said():
        found = refused.read(Prometheus(attacked.prometheus.url))
        assert [item.count for item in found] == sorted((i.count for i in found), reverse=True)
        return {str(item).split(" ", 1)[1] for item in found}

    with contextlib.suppress(AssertionError):
        wait_for(lambda: wanted <= said(), "the counts")
    assert wanted <= said()


def test_queues_are_empty_after_all(attacked):
    """Nothing that no store takes is kept and sent again."""
    wait_for(lambda: not waiting(attacked.collector), "the queues empty")


@contextlib.contextmanager
def picky(status):
    """Run a store that refuses what has `poison` in it; yield its address and what it got."""
    got = []

    class Picky(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            got.append(body)
            self.send_response(status if b"poison" in body else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Picky)) as url:
        yield url, got


@pytest.mark.parametrize(("overlay", "status"), [("local", 503), ("kubernetes", 400)])
def test_item_that_only_the_store_refuses(tmp_path, overlay, status):
    """Others pass it by, and it is not sent for ever. On Kubernetes these are other requests: the
    sampler decides each second, and what it keeps goes on in parts of 64 spans.
    """
    apart = 0 if overlay == "local" else 1.5
    with picky(status) as (url, got):
        env = {
            "AF_OTEL_TRACES_OTLP": url,
            "AF_OTEL_PROMETHEUS_WRITE": url,
            "AF_OTEL_RETRY": "5s",
        }
        with running(overlay, tmp_path / "collector", env) as collector:
            for number in range(2):
                # Not in its name, which becomes a label of span metrics.
                collector.send(new_span("refused", attributes={"note": "poison"}))
                collector.send_metrics(gauge(point(), name="poison"), resource=SENDER)
                time.sleep(apart)
                collector.send(new_span(f"victim {number}"))
                collector.send_metrics(gauge(point(), name=f"victim_{number}"), resource=SENDER)
                time.sleep(apart)

            def passed(text):
                return any(text in body and b"poison" not in body for body in got)

            for number in range(2):
                wait_for(lambda n=number: passed(f"victim {n}".encode()), "the victim's span")
                wait_for(lambda n=number: passed(f"victim_{n}".encode()), "the victim's point")
            wait_for(lambda: not waiting(collector), "the queues empty")
            refused = sum(b"poison" in body for body in got)

    assert refused >= 4


@pytest.mark.parametrize("overlay", ["local", "kubernetes"])
def test_deltas_become_totals(tmp_path, overlay):
    """`OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta` or `lowmemory` loses nothing."""
    with running_prometheus(tmp_path / "prometheus") as prometheus:
        env = {"AF_OTEL_PROMETHEUS_WRITE": prometheus.write_url}
        with running(overlay, tmp_path / "collector", env) as collector:
            for _ in range(3):
                total = counter(point(asDouble=2.0, startTimeUnixNano=now(-(10**9))), temporality=1)
                collector.send_metrics(
                    total, histogram(temporality=1), exponential(temporality=1), resource=SENDER
                )
                time.sleep(0.01)  # no two points in one millisecond

            def value(query):
                return [series["value"][1] for series in prometheus.query(query)]

            wait_for(lambda: value("careless_count_total") == ["6"], "the counter")
            wait_for(lambda: value("careless_histogram_count") == ["9"], "the histogram")
            wait_for(
                lambda: value("histogram_count(careless_native)") == ["9"], "the native histogram"
            )


def test_long_text_is_cut(tmp_path):
    """To its bound, with dots where it was; what is within a bound is as it was."""
    fits = {"text": "x" * 4096, "list": ["x" * 1000] * 60}
    with running_collector(tmp_path) as collector:
        collector.send(new_span("n" * 1025, attributes={"text": "é" * 20_000}))
        collector.send(
            new_span("fits", attributes=fits, events=[{"name": "e", "timeUnixNano": "1"}] * 128)
        )
        cut, kept = collector.wait_for_spans(lambda found: len(found) == 2)

    assert cut["name"] == "n" * 1021 + "..."
    assert cut["attributes"]["text"] == "é" * 2046 + "..."
    assert kept["attributes"] == fits
    assert len(kept["events"]) == 128
