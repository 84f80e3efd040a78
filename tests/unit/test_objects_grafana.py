"""What Grafana gets, ours or theirs; how Prometheus finds the Collector; what is injected."""

from __future__ import annotations

import base64
import json

import pytest
from inline_snapshot import snapshot
from rendered import PROMETHEUS, TEMPO, a_facility, needs_dashboards, rendered, with_backends

from af_otel import payload
from af_otel.errors import AfOtelError
from af_otel.grafana.dashboards import FOLDER, NAMES, dashboards
from af_otel.grafana.sources import UID_LENGTH, sources, uid
from af_otel.kubernetes.objects import notes
from af_otel.kubernetes.objects.facts import Facts
from af_otel.kubernetes.objects.payload import payload_name


def scraped(scrape, **monitor):
    metrics = {"scrape": scrape, "query": PROMETHEUS["query"]}
    if monitor:
        metrics["monitor"] = monitor
    return a_facility(destinations={"traces": TEMPO, "metrics": metrics})


@needs_dashboards
def test_a_grafana_with_others_sources_is_not_broken():
    """With a second default Grafana does not start; names and links are the facility's own."""
    found = rendered(a_facility(grafana={"namespace": "monitoring"}))
    item = found["ConfigMap monitoring/af-otel-casa-data-sources"]
    assert item["metadata"]["labels"]["grafana_datasource"] == "1"
    (text,) = item["data"].values()
    prometheus, tempo = json.loads(text)["datasources"]
    assert [prometheus["isDefault"], tempo["isDefault"]] == [False, False]
    assert (prometheus["name"], prometheus["uid"]) == ("Prometheus (casa)", "prometheus-casa")
    assert (prometheus["url"], tempo["url"]) == (PROMETHEUS["query"], TEMPO["query"])
    assert prometheus["jsonData"]["exemplarTraceIdDestinations"][0]["datasourceUid"] == tempo["uid"]
    assert tempo["jsonData"]["tracesToMetrics"]["datasourceUid"] == prometheus["uid"]

    for what in NAMES:
        board = found[f"ConfigMap monitoring/af-otel-casa-{what}"]
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert board["metadata"]["annotations"] == {"grafana_folder": FOLDER}
        ((name, text),) = board["data"].items()
        assert (name, chosen(json.loads(text))) == (
            f"af-otel-casa-{what}.json",
            {"prometheus": "prometheus-casa", "tempo": "tempo-casa"},
        )


def chosen(board):
    """The data sources that a dashboard begins with, by their kind."""
    return {
        item["name"]: item["current"]["value"] if "current" in item else None
        for item in board["templating"]["list"]
        if item["type"] == "datasource"
    }


@needs_dashboards
def test_a_dashboard_without_our_sources_lets_its_reader_choose():
    """Among those that Grafana has: the first of its kind, until another one is chosen."""
    boards = dashboards("casa", choose=True)
    assert tuple(boards) == NAMES
    for board in boards.values():
        assert chosen(board) == {"prometheus": None, "tempo": None}


def test_sources_stand_alone_where_only_one_is_known():
    """A link to nothing would be an error in every panel."""
    (tempo,) = sources({"tempo": "http://t"}, "casa")
    assert tempo["jsonData"] == {"nodeGraph": {"enabled": True}}
    assert sources({}) == []


def test_names_in_links_fit_grafana():
    """Two long facilities stay two."""
    first, second = uid("af-otel-session", "a" * 60 + "1"), uid("af-otel-session", "a" * 60 + "2")
    assert first != second
    assert max(len(first), len(second)) <= UID_LENGTH


@needs_dashboards
def test_our_own_grafana_has_a_login_and_no_sidecar():
    """The password is the Secret's; a plan never makes a new one where one is there."""
    found = rendered(with_backends(), grafana_password="as-it-was")
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
            "dashboards.kubernetes.json",
            "dashboards.telemetry.json",
        ]
    )
    assert "as-it-was" not in json.dumps(found["Deployment af-otel-grafana"])
    assert not any("casa-overview" in key for key in found)
    assert "as-it-was" not in repr(Facts(grafana_password="as-it-was"))


@needs_dashboards
def test_what_grafana_will_lack_is_said():
    """Where no query address is known, and where only the operator has the credentials."""
    facility = a_facility(
        destinations={
            "traces": {**TEMPO, "auth": {"bearer": {"secret": "tempo"}}},
            "metrics": {"remote_write": PROMETHEUS["remote_write"]},
        }
    )
    assert notes(facility, Facts(storage=True)) == snapshot(
        [
            (
                "Grafana's Tempo has no credentials or headers: set them there, "
                "as ConfigMaps are no place for them"
            ),
            "Grafana gets no Prometheus: no `destinations.metrics.query` says where it is",
        ]
    )
    assert notes(a_facility(), Facts(storage=True)) == []


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
