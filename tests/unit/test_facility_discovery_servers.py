"""What `init` finds for telemetry: Tempo, Prometheus, Grafana, storage, a route."""

from __future__ import annotations

import pytest
import yaml
from discovered import facility, found, service, workload, z2jh

from af_otel.facility import parse_text
from af_otel.facility.discovery import write


def tempo(name, namespace, ports, component="", **meta):
    labels = {"app.kubernetes.io/instance": "t", "c": component or name}
    image = {"image": "docker.io/grafana/tempo:2.8.2"}
    return workload("StatefulSet", name, namespace, labels, image) + service(
        name, namespace, labels, *ports, meta=meta
    )


def test_tempo_takes_and_answers_on_its_ports():
    """One binary does both; of the distributed one, the distributor and the query frontend."""
    made, _ = facility(z2jh(), tempo("tempo", "mon", [3200, 4317, 4318]))
    traces = made.destinations.traces.tempo
    assert (traces.endpoint, traces.protocol) == ("http://tempo.mon:4318", "http")
    assert traces.query == "http://tempo.mon:3200"
    assert not made.backends.jaeger
    made, _ = facility(
        z2jh(),
        tempo("tempo-ingester", "mon", [3200]),
        tempo("tempo-distributor", "mon", [3200, 4317]),
        tempo("tempo-query-frontend", "mon", [3200]),
    )
    traces = made.destinations.traces.tempo
    assert (traces.endpoint, traces.protocol) == ("http://tempo-distributor.mon:4317", "grpc")
    assert traces.query == "http://tempo-query-frontend.mon:3200"


def test_a_tempo_outside_is_known_by_its_service():
    """An ExternalName, or Endpoints by hand: no workload stands behind it."""
    made, _ = facility(z2jh(), service("tempo", "mon", None, 4318))
    assert made.destinations.traces.tempo.endpoint == "http://tempo.mon:4318"


def test_of_several_the_others_are_named():
    """One is taken; the operator reads what else there is."""
    _, text = facility(z2jh(), tempo("tempo", "a", [4318]), tempo("tempo", "b", [4318]))
    assert "Not taken: Tempo `t` in `b`." in text


def test_a_tempo_whose_query_api_is_unknown_leaves_a_line_to_fill_in():
    """The file can be used, and says what `trace`, `verify` and Grafana need."""
    page = write(found(z2jh(), tempo("tempo", "mon", [4318])))
    assert "      # query: http://tempo.monitoring:3200" in page.text()
    assert parse_text(page.text()).destinations.traces.tempo.query is None
    assert any(item.startswith("`destinations.traces.tempo.query`") for item in page.to_do)


def prometheus(*args, image="quay.io/prometheus/prometheus:v3"):
    labels = {"app": "prometheus"}
    return workload("Deployment", "server", "mon", labels, {"image": image, "args": list(args)}) + (
        service("prometheus", "mon", labels, 9090)
    )


def test_prometheus_is_written_to_if_it_listens():
    """By its own flag; otherwise it has to be told to fetch, and the operator to look after it."""
    flags = ["--web.enable-remote-write-receiver", "--web.route-prefix=/prom"]
    metrics = facility(z2jh(), prometheus(*flags))[0].destinations.metrics
    assert metrics.remote_write.endpoint == "http://prometheus.mon:9090/prom/api/v1/write"
    assert metrics.query == "http://prometheus.mon:9090/prom"
    page = write(found(z2jh(), prometheus()))
    assert parse_text(page.text()).destinations.metrics.scrape == "annotations"
    assert any("annotations" in item for item in page.to_do)


def operated(**spec):
    head = {"name": "k8s", "namespace": "mon"}
    return yaml.safe_dump({"kind": "Prometheus", "metadata": head, "spec": spec}) + "---\n"


@pytest.mark.parametrize(
    ("spec", "labels", "namespace"),
    [
        (
            {"serviceMonitorSelector": {"matchLabels": {"release": "kps"}}},
            {"release": "kps"},
            "mon",
        ),
        ({"serviceMonitorSelector": {}, "serviceMonitorNamespaceSelector": {}}, {}, None),
        (
            {
                "serviceMonitorSelector": {
                    "matchExpressions": [
                        {"key": "team", "operator": "In", "values": ["a", "b"]},
                        {"key": "scrape", "operator": "Exists"},
                    ]
                },
                "serviceMonitorNamespaceSelector": {"matchLabels": {"monitored": "yes"}},
            },
            {"team": "a", "scrape": "true"},
            "mon",
        ),
    ],
)
def test_a_monitor_gets_the_labels_that_the_operators_prometheus_selects_by(
    spec, labels, namespace
):
    """And is made where it looks: everywhere, in its own namespace, or in labelled ones."""
    places = "kind: Namespace\nmetadata: {name: mon, labels: {monitored: 'yes'}}\n"
    made, _ = facility(z2jh(), operated(**spec), places)
    metrics = made.destinations.metrics
    assert metrics.scrape == "service_monitor"
    assert metrics.monitor.labels == labels
    assert metrics.monitor.namespace == namespace
    assert metrics.query == "http://prometheus-operated.mon:9090"


def test_an_operators_prometheus_that_listens_is_written_to():
    """`enableRemoteWriteReceiver` says so; its own Service is better than the headless one."""
    pods = {"app.kubernetes.io/name": "prometheus", "operator.prometheus.io/name": "k8s"}
    made, _ = facility(
        z2jh(),
        operated(enableRemoteWriteReceiver=True),
        service("kps", "mon", pods, 9090),
        service("prometheus-operated", "mon", pods, 9090, clusterIP="None"),
    )
    assert made.destinations.metrics.remote_write.endpoint == "http://kps.mon:9090/api/v1/write"


def test_a_selector_that_chooses_nothing_is_told():
    """Without `serviceMonitorSelector`, the operator takes no ServiceMonitor at all."""
    page = write(found(z2jh(), operated()))
    assert any("takes no ServiceMonitor" in item for item in page.to_do)


def grafana(*sidecars, namespace="mon"):
    containers = [
        {
            "name": name,
            "image": "k8s-sidecar:1",
            "env": [{"name": key, "value": value} for key, value in env.items()],
        }
        for name, env in sidecars
    ]
    return workload(
        "Deployment",
        "grafana",
        namespace,
        {"app": "grafana"},
        {"image": "docker.io/grafana/grafana:12"},
        spec={"initContainers": containers},
    )


def test_grafanas_sidecars_say_which_labels_they_look_for():
    """With any value where they ask for none, and where: everywhere, or in their own namespace."""
    board = ("grafana-sc-dashboard", {"LABEL": "dash", "LABEL_VALUE": "yes", "NAMESPACE": "ALL"})
    source = ("grafana-sc-datasources", {"LABEL": "grafana_datasource", "NAMESPACE": "ALL"})
    made, _ = facility(z2jh(), grafana(board, source))
    assert made.grafana.labels == {"dash": "yes"}
    assert made.grafana.data_source_labels == {"grafana_datasource": "1"}
    assert made.grafana.namespace is None
    made, _ = facility(z2jh(), grafana(("grafana-sc-dashboard", {"LABEL": "dash"})))
    assert made.grafana.namespace == "mon"
    assert made.grafana.data_sources is False
    assert facility(z2jh(), grafana())[0].grafana.dashboards is False


def test_the_route_is_what_the_cluster_allows():
    """Before 1.36 there are no policies; the chart's values are the next best."""
    assert "`policy`: Kubernetes 1.37" in facility(z2jh())[1]
    assert (
        "`helm`: policies need Kubernetes 1.36, and this is 1.33"
        in (facility(z2jh(), version=(1, 33))[1])
    )


def test_the_collector_goes_where_the_hub_goes():
    """On a pool for services, say; what Kubernetes itself adds is left out."""
    taint = {"key": "core", "operator": "Exists", "effect": "NoSchedule"}
    own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}
    spec = {"nodeSelector": {"pool": "1"}, "tolerations": [taint, own]}
    made, text = facility(z2jh(spec=spec))
    assert made.collector.node_selector == {"pool": "1"}
    assert [item.key for item in made.collector.tolerations] == ["core"]
    assert 'node_selector: {pool: "1"}' in text


def storage(*names, default=""):
    key = "storageclass.kubernetes.io/is-default-class"
    return "---\n".join(
        yaml.safe_dump(
            {
                "kind": "StorageClass",
                "metadata": {"name": name, "annotations": {key: str(name == default).lower()}},
            }
        )
        for name in names
    )


def test_storage_is_the_default_class_or_one_that_is_named():
    """Without a default, leaving the class out would leave the volume pending."""
    assert (
        facility(z2jh(), storage("a", "b", default="b"))[0].collector.storage.storage_class is None
    )
    made, text = facility(z2jh(), storage("a", "b"))
    assert made.collector.storage.storage_class == "a"
    assert "one of `a`, `b`" in text
