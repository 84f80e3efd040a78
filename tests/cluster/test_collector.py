"""The Collector among a real facility's pods: who is who, and what is scraped."""

from __future__ import annotations

import pytest
from af_otel_semconv.carriers import stored_session_id

from cluster.collecting import a_pod, collecting

OWN = {"af-otel.io/session-id": "b" * 32, "af-otel.io/user-hash": "fedcba9876543210"}
CLAIMS = {
    "session.id": "a" * 32,
    "user.hash": "0123456789abcdef",
    "k8s.pod.name": "somebody-else",
    "service.namespace": "another-facility",
}


@pytest.fixture(scope="module")
def running(cluster):
    with collecting(cluster, "collector") as made:
        yield made


def stored(running, pod, namespace=""):
    """Every span of a trace in which the pod claimed to be somebody else."""
    (trace,) = running.send(pod, namespace, spans=3, attributes=CLAIMS)
    return running.trace(trace)


def test_pod_that_claims_another_user_is_stored_under_its_own(running):
    """On the resource and on each span of a request; what it says of its pod is no better."""
    running.pod("jupyter-alice", labels={"component": "singleuser-server"}, annotations=OWN)

    spans = stored(running, "jupyter-alice")

    assert len(spans) == 3
    for span in spans:
        for attributes in (span.attributes, span.resource):
            assert attributes["session.id"] == OWN["af-otel.io/session-id"]
            assert attributes["user.hash"] == OWN["af-otel.io/user-hash"]
        assert span.resource["k8s.pod.name"] == "jupyter-alice"
        assert span.resource["k8s.namespace.name"] == running.facility.hub.namespace
        assert span.resource["k8s.node.name"]
        assert span.resource["service.namespace"] == running.facility.name
        assert "k8s.pod.name" not in span.attributes


def test_hub_is_believed(running):
    """The hub speaks of others' sessions; that is its work."""
    namespace = running.facility.hub.namespace
    (pod,) = running.api.list("Pod", namespace=namespace, labels={"component": "hub"})
    hub = pod["metadata"]["name"]
    running.runs(hub, namespace)

    for span in stored(running, hub):
        assert span.attributes["user.hash"] == CLAIMS["user.hash"]
        assert span.attributes["session.id"] == stored_session_id(CLAIMS["session.id"])
        assert span.resource["k8s.pod.name"] == hub


def test_dask_pod_has_a_session_and_no_user(running):
    """In another namespace of the facility, and labelled as the hub is: it is not the hub."""
    (dask,) = running.facility.dask[0].namespaces
    running.cluster.core.create_namespaced_pod(
        dask, a_pod("worker", {"component": "hub", "app": "dask-worker"})
    )
    running.runs("worker", dask)

    for span in stored(running, "worker", dask):
        assert span.attributes["session.id"] == stored_session_id(CLAIMS["session.id"])
        assert "user.hash" not in span.attributes
        assert "user.hash" not in span.resource
        assert span.resource["k8s.namespace.name"] == dask


def test_pods_elsewhere_are_nobody(running):
    """A pod of no namespace of the facility's is kept out; where nothing enforces policies it has
    neither a user nor a pod's name.
    """
    with running.cluster.namespace("elsewhere") as namespace:
        running.cluster.core.create_namespaced_pod(namespace, a_pod("stranger", annotations=OWN))
        running.runs("stranger", namespace)
        accepted = running.send("stranger", namespace, attributes=CLAIMS)

        for trace in accepted:
            for span in running.trace(trace):
                assert "user.hash" not in span.attributes
                assert "k8s.pod.name" not in span.resource


def test_nodes_and_the_collector_itself_are_measured(running):
    """From the kubelets: nodes, and the facility's pods alone; and what the Collector says."""
    running.pod("jupyter-busy", labels={"component": "singleuser-server"})
    of = f'job="{running.facility.name}/kubelet"'

    assert running.measured(f"node_memory_working_set_bytes{{{of}}}")
    pods = running.measured(f"container_memory_working_set_bytes{{{of}}}")
    own = running.measured(
        f'otelcol_exporter_queue_capacity{{job="{running.facility.name}/collector"}}'
    )

    theirs = set(running.facility.injected_namespaces)
    assert {series["metric"]["namespace"] for series in pods} <= theirs
    assert own[0]["metric"]["instance"] == running.collector()["metadata"]["name"]


def test_hub_is_scraped_with_its_token(cluster, facility_on_cluster):
    """A real hub's own metrics, which are for who has a token; in the labels of JupyterHub 6."""
    namespace = facility_on_cluster.namespace
    with cluster.namespace("scraper") as own:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "hub-metrics", "namespace": own},
            "stringData": {"token": facility_on_cluster.token},
        }
        cluster.apply(secret)
        scrape = {"interval": "2s", "hub_token": {"secret": "hub-metrics", "key": "token"}}
        hub = {"namespace": namespace}
        with collecting(cluster, "scraped", namespace=own, hub=hub, scrape=scrape) as made:
            job = f'job="{made.facility.name}/jupyterhub"'
            assert made.measured(f"up{{{job}}} == 1")
            name = "jupyterhub_server_spawn_duration_seconds_count"
            found = made.measured(f'{name}{{{job},status!=""}}')

    assert {series["metric"]["status"] for series in found} >= {"success", "failure", "error"}
    assert all(series["metric"]["instance"].startswith("hub-") for series in found)
