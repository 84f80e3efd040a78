"""A Jaeger that was written by hand: images, ports, base paths, versions; and several stores."""

from __future__ import annotations

import pytest
import yaml
from discovered import facility, found, z2jh
from jaegers import (
    GRPC,
    HTTP,
    QUERY,
    V2,
    charted_v3,
    charted_v4,
    deployment,
    jaeger,
    manifest,
    plain,
    service,
    with_path,
)

from af_otel.facility import parse_text
from af_otel.facility.discovery import write


@pytest.mark.parametrize(
    "image",
    [
        "jaegertracing/jaeger",
        "registry.example.org/jaegertracing/jaeger:2.20.0",
        "jaegertracing/all-in-one:1.76",
        "registry.example.org/jaegertracing/all-in-one@sha256:" + "0" * 64,
        "mirror.example.org:5000/hub/jaegertracing/jaeger:2.13.0@sha256:" + "0" * 64,
        "bitnami/jaeger:2.13.0-debian-12-r0",
        "registry.example.org/rhosdt/jaeger-all-in-one-rhel8@sha256:" + "0" * 64,
        "jaegertracing/jaeger-snapshot:latest",
    ],
)
def test_a_jaeger_of_any_registry_is_found(image):
    """By the last part of its image's name."""
    result, text = jaeger(plain(image=image))
    assert (result.endpoint, result.query) == ("http://jaeger.mon:4318", "http://jaeger.mon:16686")
    assert "Note:" not in text


@pytest.mark.parametrize(
    "image",
    [
        "jaegertracing/jaeger-operator:1.65.0",
        "jaegertracing/jaeger-agent:1.62",
        "example.org/not-jaeger:1",
        "example.org/all-in-one:1",
        "jaegertracing/jaeger-es-index-cleaner:1.76.0",
    ],
)
def test_what_only_sounds_like_a_jaeger_is_none(image):
    """Jaeger's other images store no traces."""
    assert facility(z2jh(), plain(name="some", image=image))[0].backends.jaeger


def test_a_jaeger_with_only_grpc_is_sent_to_by_grpc():
    """Not every Service has the port of OTLP over HTTP."""
    result, _ = jaeger(plain(ports=(GRPC, QUERY)))
    assert (result.endpoint, result.protocol) == ("http://jaeger.mon:4317", "grpc")


def test_a_query_service_on_port_80_is_known_by_its_target():
    """As in the example that Istio has, where another Service calls Zipkin's port `http-query`."""
    labels = {"app": "jaeger"}
    result, _ = jaeger(
        deployment("jaeger", labels, {"image": V2}),
        service("tracing", labels, ("http-query", 80, 16686), ("grpc-query", 16685)),
        service("zipkin", labels, ("http-query", 9411)),
        service("jaeger-collector", labels, ("grpc-otel", 4317), ("http-otel", 4318)),
    )
    assert result.endpoint == "http://jaeger-collector.mon:4318"
    assert result.query == "http://tracing.mon:80"


def test_a_collector_and_a_query_service_that_nothing_connects_are_one_jaeger():
    """If their namespace has one of each; two collectors could each be the one of the query."""
    query = plain("traces-ui", "jaegertracing/jaeger-query:1.76.0", ports=[QUERY])
    image = "jaegertracing/jaeger-collector:1.76.0"
    result, _ = jaeger(plain("ingress", image, ports=[HTTP]), query)
    assert (result.endpoint, result.query) == (
        "http://ingress.mon:4318",
        "http://traces-ui.mon:16686",
    )
    two = [plain(name, image, ports=[HTTP]) for name in ("one", "two")]
    assert jaeger(*two, query)[0].query is None


@pytest.mark.parametrize(
    ("image", "container", "path"),
    [
        (V2, {"args": ["--set=extensions.jaeger_query.base_path=/j"]}, "/j"),
        (V2, {"args": ["--set", "extensions.jaeger_query.base_path=/j/k/"]}, "/j/k"),
        (V2, {"args": ["--set", "extensions.jaeger_query.base_path=/"]}, ""),
        (V2, {"env": [{"name": "QUERY_BASE_PATH", "value": "/j"}]}, ""),  # of Jaeger 1
        ("jaegertracing/all-in-one:1.76.0", {"args": ["--query.base-path", "/j"]}, "/j"),
        (
            "jaegertracing/all-in-one:latest",
            {"env": [{"name": "QUERY_BASE_PATH", "value": "/j"}]},
            "/j",
        ),
    ],
)
def test_a_base_path_is_part_of_the_query_address(image, container, path):
    """It may come from a flag, a variable of Jaeger 1, or a setting of Jaeger 2."""
    assert jaeger(plain(image=image, **container))[0].query == f"http://jaeger.mon:16686{path}"


@pytest.mark.parametrize(
    ("written", "env", "path"),
    [
        ("${env:BASE:-/default}", {}, "/default"),
        ("${env:BASE:-/default}", {"BASE": "/set"}, "/set"),
        ("/a/${BASE}", {"BASE": "b"}, "/a/b"),
        ("${env:BASE:-}", {}, ""),
    ],
)
def test_variables_in_a_configured_base_path_are_replaced(written, env, path):
    """By their defaults, where the pod does not set them."""
    labels, config = {"app": "jaeger"}, yaml.safe_dump(with_path(written))
    container = {
        "image": V2,
        "args": ["--config", "/conf/config.yaml"],
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }
    result, _ = jaeger(
        manifest("ConfigMap", "settings", {"config.yaml": config, "ui.json": "{}", "bad": "a: ["}),
        deployment("jaeger", labels, container, mounts="settings"),
        service("jaeger", labels, HTTP, QUERY),
    )
    assert result.query == f"http://jaeger.mon:16686{path}"


@pytest.mark.parametrize("written", [None, "${env:SECRET}", "no path", "/a?password=hunter2"])
def test_a_base_path_that_is_not_known_is_noted(written):
    """The configuration may be unreadable; and nothing but a path gets out of it."""
    texts = charted_v4(path=written or "/jaeger")
    result, text = jaeger(texts, denied=[] if written else ["ConfigMap"])
    assert result.query == "http://tracing-jaeger.mon:16686"
    assert "Note: its base path is not known" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("image", "old"),
    [
        ("jaegertracing/all-in-one:1.72.0", True),
        ("jaegertracing/all-in-one:1.73.0", False),
        ("jaegertracing/jaeger:2.9.0", True),
        ("jaegertracing/jaeger:v2.9.0", True),
        ("jaegertracing/jaeger:2.10.0", False),
        ("jaegertracing/jaeger:2.20.0", False),
        ("jaegertracing/jaeger:latest", False),
        ("registry:5000/jaegertracing/jaeger", False),
    ],
)
def test_a_jaeger_that_is_too_old_is_taken_with_a_note(image, old):
    """It accepts traces, but `trace` and `verify` cannot look them up."""
    result, text = jaeger(plain(image=image))
    assert result.endpoint == "http://jaeger.mon:4318"
    assert ("`trace` and `verify` need 2.10 or newer" in " ".join(text.split())) is old


def test_the_version_is_the_charts_where_the_image_has_none():
    """As with an image by its digest."""
    texts = charted_v3(version="1.53.0").replace(":1.53.0", "@sha256:" + "0" * 64)
    assert "it is version 1.53" in jaeger(texts)[1]


def test_a_jaeger_whose_query_service_is_unknown_leaves_a_line_to_fill_in():
    """The file can be used, and says what `trace`, `verify` and Grafana need."""
    page = write(found(z2jh(), plain(ports=[HTTP])))
    assert "      # query: http://jaeger-query.monitoring:16686" in page.text()
    assert parse_text(page.text()).destinations.traces.jaeger.query is None
    assert any(item.startswith("`destinations.traces.jaeger.query`") for item in page.to_do)


def test_services_are_enough_where_workloads_are_elsewhere_or_unreadable():
    """Those whose name or label says Jaeger, and that accept OTLP."""
    collector = service("jaeger-collector", None, GRPC, HTTP)
    query = service("jaeger-query", None, QUERY)
    result, _ = jaeger(collector, query)
    assert result.endpoint == "http://jaeger-collector.mon:4318"
    assert result.query == "http://jaeger-query.mon:16686"
    operator = service("jaeger-operator-metrics", None, ("https", 8443))
    assert facility(z2jh(), operator, query)[0].backends.jaeger
    labels = {"app": "jaeger", "app.kubernetes.io/instance": "simplest"}
    result, _ = jaeger(service("simplest-collector", None, HTTP, labels=labels), hub="jhub")
    assert result.endpoint == "http://simplest-collector.mon:4318"


# Several stores

TEMPO = "grafana/tempo:2.8.2"
TEMPO_PORTS = (HTTP, ("http", 3200))


def test_a_tempo_is_taken_before_a_jaeger_and_the_others_are_named():
    """Both would do; the operator reads what else there is."""
    texts = [plain(), plain(namespace="b"), plain("tempo", TEMPO, TEMPO_PORTS)]
    result, text = facility(z2jh(), *texts)
    assert result.destinations.traces.tempo.query == "http://tempo.mon:3200"
    assert (
        "# Tempo `tempo` in `mon`. Not taken: Jaeger `jaeger` in `b`; Jaeger `jaeger` in `mon`.\n"
        in text
    )


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (plain(), plain("tempo", TEMPO, [HTTP])),
        (plain(), plain(namespace="a", ports=[QUERY])),
        (plain(), plain(namespace="a", ports=[HTTP])),
        (plain(), plain(namespace="a", image="jaegertracing/jaeger:2.1.0")),
    ],
)
def test_the_store_that_can_be_used_best_is_taken(better, worse):
    """One with an OTLP port, then one that can be queried, then one without notes."""
    result, text = jaeger(better, worse)
    assert result.endpoint == "http://jaeger.mon:4318"
    assert result.query == "http://jaeger.mon:16686"
    assert "# Jaeger `jaeger` in `mon`. Not taken: " in text


def test_the_user_interface_beside_a_tempo_is_no_jaeger():
    """The Tempo operator runs `jaeger-query` in the pod of Tempo's query frontend."""
    labels = {"app.kubernetes.io/instance": "sample"}
    beside = [
        {"name": "jaeger-query", "image": "registry.example.org/jaegertracing/jaeger-query:1.62.0"}
    ]
    result, text = facility(
        z2jh(),
        deployment("tempo-sample", labels, {"image": TEMPO}, beside=beside),
        service("tempo-sample", labels, *TEMPO_PORTS),
        service("tempo-sample-jaegerui", labels, ("ui", 16686)),
    )
    assert result.destinations.traces.tempo.endpoint == "http://tempo-sample.mon:4318"
    assert "Jaeger" not in text
