"""A Jaeger is found as each operator and chart deploys it."""

from __future__ import annotations

import pytest
from discovered import facility, found, z2jh
from jaegers import (
    KIND,
    charted_v3,
    charted_v4,
    deployment,
    jaeger,
    operated,
    operated_v1,
    service,
    with_path,
)

from af_otel.facility import parse_text
from af_otel.facility.discovery import write


def test_a_jaeger_of_the_opentelemetry_operator_is_found():
    """Spans go to the Service of the receivers, queries to the one of the extensions."""
    result, text = jaeger(operated(), kinds=[KIND])
    assert (result.endpoint, result.protocol) == ("http://jaeger-collector.mon:4318", "http")
    assert result.query == "http://jaeger-collector-extension.mon:16686"
    assert "# Jaeger `jaeger` in `mon`.\n" in text


@pytest.mark.parametrize("denied", [[], [KIND], ["ConfigMap"]])
def test_its_base_path_is_read_from_the_object_or_the_config_map(denied):
    """Either may be unreadable; the file does not mention that."""
    result, text = jaeger(operated(config=with_path("/jaeger/")), kinds=[KIND], denied=denied)
    assert result.query == "http://jaeger-collector-extension.mon:16686/jaeger"
    assert "Could not be read" not in text


def test_a_jaeger_is_known_by_its_query_extension_if_its_image_has_another_name():
    """Distributions of the Collector can be built with Jaeger's parts; others are no Jaeger."""
    result, _ = jaeger(operated(image="example.org/our-collector:7"), kinds=[KIND])
    assert result.endpoint == "http://jaeger-collector.mon:4318"
    other = operated(image="example.org/our-collector:7", config={"extensions": {"zpages": {}}})
    assert facility(z2jh(), other, kinds=[KIND])[0].backends.jaeger


def test_a_collector_and_a_query_service_of_one_name_are_one_jaeger():
    """The operator has an object for each of them."""
    texts = [
        operated("jaeger-collector", extension=False),
        operated("jaeger-query", ports=(), config=with_path("/j")),
    ]
    result, text = jaeger(*texts, kinds=[KIND])
    assert result.endpoint == "http://jaeger-collector-collector.mon:4318"
    assert result.query == "http://jaeger-query-collector-extension.mon:16686/j"
    assert "Not taken" not in text


@pytest.mark.parametrize("strategy", ["allInOne", "production"])
def test_a_jaeger_of_the_old_operator_is_found(strategy):
    """In one pod, or as a collector and a query service, with the path of the latter's flag."""
    result, text = jaeger(operated_v1("simplest", strategy, version="1.76.0", path="/jaeger"))
    assert result.endpoint == "http://simplest-collector.mon:4318"
    assert result.query == "http://simplest-query.mon:16686/jaeger"
    assert "Jaeger `simplest` in `mon`." in text
    assert "Note:" not in text


def test_a_jaeger_of_the_old_operator_may_have_images_of_any_name():
    """Its labels are enough, as where a mirror renames images."""
    texts = operated_v1("simplest", "production").replace(
        "registry.example.org/jaegertracing/", "mirror/x-"
    )
    assert jaeger(texts)[0].query == "http://simplest-query.mon:16686"


def test_a_query_service_behind_a_login_is_not_taken():
    """On OpenShift the operator puts an OAuth proxy before it, which `trace` cannot pass."""
    page = write(found(z2jh(), operated_v1("simplest", "production", login=True)))
    assert parse_text(page.text()).destinations.traces.jaeger.query is None
    assert "leads to an OAuth proxy" in page.text()
    assert any(item.startswith("`destinations.traces.jaeger.query`") for item in page.to_do)


def test_a_jaeger_of_chart_3_is_found():
    """Ports have the chart's names for them, and its query Service is on port 80."""
    result, text = jaeger(charted_v3(path="/jaeger"))
    assert (result.endpoint, result.protocol) == (
        "http://tracing-jaeger-collector.mon:14318",
        "http",
    )
    assert result.query == "http://tracing-jaeger-query.mon:80/jaeger"
    assert "Jaeger `tracing` in `mon`." in text
    assert jaeger(charted_v3(proxied=True))[0].query is None


def test_a_jaeger_without_an_otlp_port_is_reported_and_not_taken():
    """So are those of chart 3 by default; af-otel then brings its own."""
    page = write(found(z2jh(), charted_v3(otlp=False)))
    result = parse_text(page.text())
    assert result.backends.jaeger
    assert result.destinations.traces.store.endpoint == "http://af-otel-jaeger.af-otel:4318"
    assert "# Jaeger `tracing` in `mon` (no OTLP port): add port 4318" in page.text()
    [to_do] = [item for item in page.to_do if "no OTLP port" in item]
    assert to_do.startswith("`destinations.traces.jaeger`: Jaeger `tracing` in `mon`")
    assert "`collector.service.otlp`" in to_do


def test_the_headless_services_of_an_all_in_one_lead_to_its_pods():
    """Chart 3 makes them, and a headless Service has no ports but those of the pods."""
    labels = {"app.kubernetes.io/instance": "j", "app.kubernetes.io/component": "all-in-one"}
    result, _ = jaeger(
        deployment("j", labels, {"image": "jaegertracing/all-in-one:1.76.0"}),
        service("j-collector", labels, ("otlp-http", 80, 4318), headless=True),
        service("j-query", labels, ("http-query", 16686), headless=True),
    )
    assert (result.endpoint, result.query) == (
        "http://j-collector.mon:4318",
        "http://j-query.mon:16686",
    )


@pytest.mark.parametrize("path", ["", "/jaeger"])
def test_a_jaeger_of_chart_4_is_found(path):
    """One Service has all ports; the base path is in the configuration that a user gives."""
    result, text = jaeger(charted_v4(path=path))
    assert result.endpoint == "http://tracing-jaeger.mon:4318"
    assert result.query == f"http://tracing-jaeger.mon:16686{path}"
    assert "Note:" not in text
