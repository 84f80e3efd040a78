"""Data sources and dashboards for Grafana; how Prometheus finds the Collector; the payload."""

from __future__ import annotations

import base64
import json

import pytest
from inline_snapshot import snapshot
from rendered import HUB, PROMETHEUS, TEMPO, a_facility, needs_dashboards, rendered, with_backends

from af_otel import payload
from af_otel.errors import AfOtelError
from af_otel.grafana.dashboards import FOLDER, NAMES, dashboards
from af_otel.grafana.sources import UID_LENGTH, sources, uid
from af_otel.kubernetes.objects import notes
from af_otel.kubernetes.objects.facts import Facts
from af_otel.kubernetes.objects.payload import payload_name

JAEGER = {
    "jaeger": {
        "endpoint": "http://jaeger-collector.monitoring:4318",
        "query": "http://jaeger-query.monitoring:16686/jaeger",
    }
}
OTLP = {"otlp": {"endpoint": "https://otlp.example.org", "query": "https://traces.example.org"}}
OWN = {
    "jaeger": True,
    "prometheus": True,
    "grafana": True,
    "images": {"grafana": "registry.example.org/grafana:12.4.0"},
}


def storing(traces, **sections):
    """A facility with this trace store."""
    return a_facility(destinations={"traces": traces, "metrics": PROMETHEUS}, **sections)


def scraped(scrape, **monitor):
    metrics = {"scrape": scrape, "query": PROMETHEUS["query"]}
    if monitor:
        metrics["monitor"] = monitor
    return a_facility(destinations={"traces": TEMPO, "metrics": metrics})


@needs_dashboards
@pytest.mark.parametrize("traces", [TEMPO, JAEGER], ids=["tempo", "jaeger"])
def test_a_grafana_with_other_data_sources_is_not_broken(traces):
    """With a second default Grafana does not start; names and uids are those of the facility."""
    ((store, section),) = traces.items()
    found = rendered(storing(traces, grafana={"namespace": "monitoring"}))
    item = found["ConfigMap monitoring/af-otel-casa-data-sources"]
    assert item["metadata"]["labels"]["grafana_datasource"] == "1"
    (text,) = item["data"].values()
    prometheus, traces = json.loads(text)["datasources"]
    assert [prometheus["isDefault"], traces["isDefault"]] == [False, False]
    assert (prometheus["name"], prometheus["uid"]) == ("Prometheus (casa)", "prometheus-casa")
    assert (traces["name"], traces["type"]) == (f"{store.capitalize()} (casa)", store)
    assert (prometheus["url"], traces["url"]) == (PROMETHEUS["query"], section["query"])
    exemplars = prometheus["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars[0]["datasourceUid"] == traces["uid"]
    assert traces["jsonData"]["tracesToMetrics"]["datasourceUid"] == prometheus["uid"]

    for what in NAMES:
        board = found[f"ConfigMap monitoring/af-otel-casa-{what}"]
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert board["metadata"]["annotations"] == {"grafana_folder": FOLDER}
        ((name, text),) = board["data"].items()
        assert (name, chosen(json.loads(text))) == (
            f"af-otel-casa-{what}.json",
            {"prometheus": "prometheus-casa", store: f"{store}-casa"},
        )


def chosen(board):
    """The data sources that a dashboard starts with, by kind."""
    return {
        item["name"]: item["current"]["value"] if "current" in item else None
        for item in board["templating"]["list"]
        if item["type"] == "datasource"
    }


@needs_dashboards
def test_a_dashboard_without_our_data_sources_lets_its_reader_choose():
    """Grafana uses the first data source of each kind until the reader picks another one."""
    boards = dashboards("casa", choose=True)
    assert tuple(boards) == NAMES
    for board in boards.values():
        assert chosen(board) == {"prometheus": None, "tempo": None}


@needs_dashboards
def test_dashboards_search_the_kind_of_store_even_without_its_address():
    """The data source is then the reader's to choose."""
    traces = {"jaeger": {"endpoint": JAEGER["jaeger"]["endpoint"]}}
    found = rendered(storing(traces))
    (text,) = found["ConfigMap af-otel-casa-sessions"]["data"].values()
    assert chosen(json.loads(text)) == {"prometheus": None, "jaeger": None}
    (text,) = found["ConfigMap af-otel-casa-data-sources"]["data"].values()
    assert [source["type"] for source in json.loads(text)["datasources"]] == ["prometheus"]


@needs_dashboards
def test_a_store_of_unknown_kind_is_not_in_grafana():
    """A data source is for one kind of API, and panels without a data source are errors."""
    found = rendered(storing(OTLP))
    (text,) = found["ConfigMap af-otel-casa-data-sources"]["data"].values()
    (prometheus,) = json.loads(text)["datasources"]
    assert prometheus["jsonData"] == {}
    for name in NAMES:
        (text,) = found[f"ConfigMap af-otel-casa-{name}"]["data"].values()
        assert chosen(json.loads(text)) == {"prometheus": "prometheus-casa"}


@pytest.mark.parametrize("store", ["tempo", "jaeger"])
def test_a_data_source_without_the_other_has_no_links(store):
    """A link to a missing data source would be an error in every panel."""
    (traces,) = sources({store: "http://t"}, "casa")
    assert traces["jsonData"] == {"nodeGraph": {"enabled": True}}
    assert sources({}) == []


def test_uids_fit_grafana():
    """Two facilities with long names have distinct uids."""
    first, second = uid("af-otel-session", "a" * 60 + "1"), uid("af-otel-session", "a" * 60 + "2")
    assert first != second
    assert max(len(first), len(second)) <= UID_LENGTH


@needs_dashboards
def test_our_own_grafana_has_a_login_and_no_sidecar():
    """The password is in a Secret; a plan keeps an existing one."""
    found = rendered(with_backends(backends=OWN), grafana_password="as-it-was")
    password = found["Secret af-otel-grafana"]["data"]["password"]
    assert base64.b64decode(password) == b"as-it-was"
    files = found["ConfigMap af-otel-grafana"]["data"]
    assert list(files) == snapshot(
        [
            "provisioning.datasources.af-otel.yaml",
            "provisioning.dashboards.af-otel.yaml",
            "dashboards.overview.json",
            "dashboards.sessions.json",
            "dashboards.spawn.json",
            "dashboards.kernels.json",
            "dashboards.dask.json",
            "dashboards.users.json",
            "dashboards.http.json",
            "dashboards.kubernetes.json",
            "dashboards.telemetry.json",
        ]
    )
    assert "as-it-was" not in json.dumps(found["Deployment af-otel-grafana"])
    assert not any("casa-overview" in key for key in found)
    assert "as-it-was" not in repr(Facts(grafana_password="as-it-was"))


@needs_dashboards
def test_our_own_grafana_searches_our_own_jaeger():
    """Its data sources and dashboards are for the Jaeger in the same namespace."""
    files = rendered(with_backends(backends=OWN))["ConfigMap af-otel-grafana"]["data"]
    text = files["provisioning.datasources.af-otel.yaml"]
    urls = {source["type"]: source["url"] for source in json.loads(text)["datasources"]}
    assert urls == snapshot(
        {
            "prometheus": "http://af-otel-prometheus.af-otel:9090",
            "jaeger": "http://af-otel-jaeger.af-otel:16686",
        }
    )
    assert chosen(json.loads(files["dashboards.sessions.json"])) == {
        "prometheus": "prometheus",
        "jaeger": "jaeger",
    }


@needs_dashboards
def test_notes_say_what_grafana_lacks():
    """They name missing addresses, and credentials that only the operator can enter."""
    facility = a_facility(
        destinations={
            "traces": {"tempo": {**TEMPO["tempo"], "auth": {"bearer": {"secret": "tempo"}}}},
            "metrics": {"remote_write": PROMETHEUS["remote_write"]},
        }
    )
    assert notes(facility, Facts(storage=True, hub=HUB)) == snapshot(
        [
            (
                "Grafana's data source for Tempo has no credentials or headers: enter them in "
                "Grafana, as ConfigMaps must not contain secrets"
            ),
            (
                "Grafana gets no data source for Prometheus, as `destinations.metrics.query` is "
                "not set"
            ),
        ]
    )
    assert notes(a_facility(), Facts(storage=True, hub=HUB)) == []


@needs_dashboards
def test_notes_say_what_grafana_cannot_do_with_other_stores():
    """They name the version of Grafana that Jaeger needs, and why a store of unknown kind is not
    searched.
    """
    assert notes(storing(JAEGER), Facts(storage=True, hub=HUB)) == snapshot(
        [
            (
                "To search Jaeger, the dashboards need Grafana 12.0.2 or newer: versions between "
                "11.3 and 12.0.1 do not replace variables in the tags of a search"
            )
        ]
    )
    assert notes(storing(OTLP), Facts(storage=True, hub=HUB)) == snapshot(
        [
            (
                "Grafana gets no data source for traces, and the dashboards show metrics only: "
                "`destinations.traces.otlp` does not say whether the store is a Tempo or a Jaeger. "
                "If it is one of them, write `tempo` or `jaeger` instead of `otlp`"
            )
        ]
    )
    quiet = {"data_sources": False, "dashboards": False}
    assert notes(storing(OTLP, grafana=quiet), Facts(storage=True, hub=HUB)) == []


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_the_prometheus_operator_finds_the_collector(kind):
    """By the labels that it asks for; whose a metric is stays its sender's word."""
    scrape = {"ServiceMonitor": "service_monitor", "PodMonitor": "pod_monitor"}[kind]
    facility = scraped(scrape, labels={"release": "prom"}, namespace="monitoring", interval="1m")
    found = rendered(facility, monitors=frozenset({kind}))
    item = found[f"{kind} monitoring/af-otel-collector-casa"]
    assert item["metadata"]["labels"]["release"] == "prom"
    spec = item["spec"]
    assert spec["namespaceSelector"] == {"matchNames": ["af-otel"]}
    chosen = found["Service af-otel-collector"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= chosen.items()
    ports = {port["name"] for port in found["Service af-otel-collector"]["spec"]["ports"]}
    endpoints = spec["endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"]
    assert {endpoint["port"] for endpoint in endpoints} <= ports
    assert all(endpoint["honorLabels"] for endpoint in endpoints)
    assert {endpoint["interval"] for endpoint in endpoints} == {"1m"}


def test_a_cluster_without_the_operator_is_an_error():
    """Metrics would arrive nowhere, and nobody would notice."""
    with pytest.raises(AfOtelError) as error:
        rendered(scraped("service_monitor"))
    assert str(error.value) == snapshot("""\
This cluster knows no ServiceMonitor, as the Prometheus operator is not installed
  where: `destinations.metrics.scrape: service_monitor`
  hint:  `scrape: annotations`, if Prometheus goes by these, or `remote_write`\
""")


def test_annotations_are_on_the_pod():
    """Where Prometheus goes by these."""
    pod = rendered(scraped("annotations"))["Deployment af-otel-collector"]["spec"]["template"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "8889"
    pushed = rendered()["Deployment af-otel-collector"]["spec"]["template"]["metadata"]
    assert not any(key.startswith("prometheus.io") for key in pushed["annotations"])


def test_the_payload_is_beside_the_pods_that_get_it():
    """Named by its content and never changed: pods of before an upgrade find theirs, too."""
    found = rendered()
    name = payload_name(a_facility())
    for namespace in ("jhub", "dask"):
        item = found[f"ConfigMap {namespace}/{name}"]
        assert item["immutable"] is True
        assert base64.b64decode(item["binaryData"]["payload.zip"]) == payload.archive()
        assert "def main" in item["data"]["unpack.py"]


@pytest.mark.parametrize(
    ("route", "version", "policies"),
    [("auto", (1, 36), 1), ("auto", (1, 35), 0), ("policy", (1, 35), 1), ("helm", (1, 37), 0)],
)
def test_the_policy_is_there_where_it_is_the_route(route, version, policies):
    """The payload is there in any case: all routes hand it out."""
    facility = a_facility(injection={"route": route})
    found = rendered(facility, version=version)
    assert sum(key.startswith("MutatingAdmissionPolicy ") for key in found) == policies
    assert f"ConfigMap jhub/{payload_name(facility)}" in found
