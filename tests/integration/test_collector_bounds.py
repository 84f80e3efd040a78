"""A bad item costs itself, not its neighbours: both overlays with real stores behind them."""

from __future__ import annotations

import contextlib
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
    gauge,
    metric_groups,
    point,
    post,
    trace_groups,
    with_neighbour,
)
from gateways import ALL, running_gateway, self_metrics
from otlp import new_span, resource_metrics, resource_spans

from servers import (
    ROOT,
    get_json,
    running_collector,
    running_jaeger,
    running_prometheus,
    wait_for,
)

LOCAL = (ROOT / "collector-config" / "base.yaml", ROOT / "collector-config" / "local.yaml")
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

    collector: object
    jaeger: object
    prometheus: object
    answers: dict[str, int] = field(default_factory=dict)

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
            made = Attacked(collector, jaeger, prometheus)
            for name, attack in ATTACKS.items():
                sent = attack.make()
                if attack.outcome != DENIED and sent.headers == JSON:
                    sent = with_neighbour(sent, signs("neighbour", name)[name in METRICS])
                made.answers[name] = post(collector.endpoint, sent)
                span, marked = signs("victim", name)
                for ordinary in (trace_groups(span), metric_groups(marked)):
                    wait_for(lambda body=ordinary: accepted(collector, body), "it accepted")
            yield made


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
            expected[kind, attack.outcome] += 1

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
    assert {s["metric"]["instance"] for s in series} == {SENDER["service.instance.id"]}


def test_queues_are_empty_after_all(attacked):
    """Nothing that no store takes is kept and sent again."""

    def waiting():
        return {
            name: value
            for name, value in self_metrics(attacked.collector).items()
            if name.startswith("otelcol_exporter_queue_size")
            and value
            and "journal" not in name
            and "pause" not in name
        }

    wait_for(lambda: not waiting(), "the queues empty")
