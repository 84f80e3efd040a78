"""The objects of a facility on a real API and node: taken, admitted as `restricted`, at work."""

from __future__ import annotations

import contextlib
import json
import secrets
import time

import httpx
import kubernetes
import pytest
from rendered import DASK, PROMETHEUS, TEMPO, a_facility

from af_otel.backends.connect import connect
from af_otel.kubernetes import facts
from af_otel.kubernetes.client import Cluster
from af_otel.kubernetes.objects import render
from af_otel.kubernetes.pods import is_ready
from af_otel.kubernetes.refs import Ref
from servers import wait_for

USER = "localhost/af-otel-test/user:1"
SEND = """
import json, sys, urllib.request
request = urllib.request.Request(
    sys.argv[1] + "/v1/traces", sys.argv[2].encode(), {"Content-Type": "application/json"}
)
print(urllib.request.urlopen(request, timeout=30).status)
"""


@pytest.fixture(scope="module")
def api(cluster):
    return Cluster.connect(cluster.kubeconfig)


@contextlib.contextmanager
def applied(api, facility):
    """A facility's objects in the cluster; Grafana, which has no image here, without a pod."""
    objects = render(facility, facts.read(api, facility))
    try:
        for item in objects:
            if item["metadata"]["name"] == "af-otel-grafana" and item["kind"] == "Deployment":
                item["spec"]["replicas"] = 0
            api.apply(item)
        yield objects
    finally:
        for item in reversed(objects):
            api.delete(item)


@pytest.fixture(scope="module")
def installed(cluster, api):
    """A facility that has no servers of its own, and a user's pod in it."""
    with cluster.namespace("objects") as hub, cluster.namespace("objects-dask") as dask:
        facility = a_facility(
            name=hub,
            namespace=f"{hub}-af-otel",
            hub={"namespace": hub},
            dask=[{**DASK, "namespaces": [dask]}],
            scrape={"interval": "2s"},
            destinations={},
            backends={
                "jaeger": True,
                "prometheus": True,
                "grafana": True,
                "images": {"grafana": "registry.example.org/grafana:12.4.0"},
            },
            sampling={"share": 1, "wait": "2s"},
        )
        # Before the policy, which lets nobody but the hub annotate it.
        a_users_pod(cluster, hub)
        with applied(api, facility):
            for name in ("collector", "jaeger", "prometheus"):
                ready(api, facility, f"af-otel-{name}")
            yield facility


def a_users_pod(cluster, namespace):
    container = {
        "name": "notebook",
        "image": USER,
        "imagePullPolicy": "Never",
        "command": ["sleep", "infinity"],
    }
    body = {
        "metadata": {
            "name": "user",
            "labels": {"component": "singleuser-server"},
            "annotations": {"af-otel.io/inject": "false", "af-otel.io/user-hash": "of-kubernetes"},
        },
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }
    account = Ref("v1", "ServiceAccount", "default", namespace)
    api = Cluster.connect(cluster.kubeconfig)
    wait_for(lambda: api.get(account), "the namespace's service account", 60)
    cluster.core.create_namespaced_pod(namespace, body)
    wait_for(
        lambda: cluster.core.read_namespaced_pod("user", namespace).status.phase == "Running",
        "the user's pod runs",
        60,
    )


def ready(api, facility, name, replicas=1):
    def as_wanted():
        status = api.get(Ref("apps/v1", "Deployment", name, facility.namespace))["status"]
        return (
            status.get("readyReplicas", 0) == status.get("replicas", 0) == replicas
            and status.get("updatedReplicas", 0) == replicas
        )

    wait_for(as_wanted, f"{name} has {replicas} ready pods", 120)


def scaled(cluster, api, facility, name, replicas):
    apps = kubernetes.client.AppsV1Api(cluster.client)
    apps.patch_namespaced_deployment_scale(
        name, facility.namespace, {"spec": {"replicas": replicas}}
    )
    ready(api, facility, name, replicas)


def send_a_trace(api, facility):
    """From the user's pod, through the Service's name; the trace's id."""
    trace, now = secrets.token_hex(16), time.time_ns()
    span = {
        "traceId": trace,
        "spanId": secrets.token_hex(8),
        "name": "execute cell",
        "startTimeUnixNano": str(now - 1_000_000),
        "endTimeUnixNano": str(now),
        "status": {"code": 2},
        "attributes": [{"key": "user.hash", "value": {"stringValue": "somebody else"}}],
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "jupyter-kernel"}}]}
    body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    url = f"http://af-otel-collector.{facility.namespace}:4318"
    command = ["python3", "-c", SEND, url, json.dumps(body)]

    def accepted():
        output = api.exec(facility.hub.namespace, "user", command, timeout=60)
        return (output.code, output.out.strip()) == (0, "200")

    # After the Collector's pod was killed, its Service leads nowhere for a moment.
    wait_for(accepted, "the Collector accepts the trace", 60)
    return trace


def stored(api, facility, trace):
    with api.forward(facility.namespace, "service/af-otel-jaeger", 16686) as url:
        store = connect("jaeger", url)
        return wait_for(lambda: store.trace(trace), f"trace {trace} is in Jaeger", 90)


def measured(api, facility, query):
    with api.forward(facility.namespace, "service/af-otel-prometheus", 9090) as url:

        def found():
            answer = httpx.get(f"{url}/api/v1/query", params={"query": query}).json()
            return answer["data"]["result"]

        return wait_for(found, f"{query} is in Prometheus", 120)


def collectors(api, facility):
    labels = {"app.kubernetes.io/name": "af-otel-collector"}
    return api.list("Pod", namespace=facility.namespace, labels=labels)


def test_every_object_is_taken_by_the_api(cluster, api):
    """With strict validation, in a dry run, for a facility that has all that there is."""
    with cluster.namespace("objects-hub") as hub, cluster.namespace("objects-dask") as dask:
        deny = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "singleuser", "namespace": hub},
            "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
        }
        cluster.apply(deny)
        facility = a_facility(
            name=hub,
            namespace=hub,
            hub={"namespace": hub},
            dask=[{**DASK, "namespaces": [dask]}],
            destinations={
                "traces": {"tempo": {**TEMPO["tempo"], "auth": {"basic": {"secret": "tempo"}}}},
                "metrics": PROMETHEUS,
            },
            collector={"tolerations": [{"key": "dedicated", "operator": "Exists"}]},
        )
        objects = render(facility, facts.read(api, facility))
        kinds = [item["kind"] for item in objects]
        assert "Namespace" not in kinds
        assert kinds.count("NetworkPolicy") == 4  # ours, two populations' way out, the hub's scrape
        for item in objects:
            assert api.apply(item, dry_run=True)["metadata"]["name"] == item["metadata"]["name"]


def test_every_pod_is_admitted_at_the_strictest_level(api, installed):
    """Grafana's, too, which has no image here."""
    namespace = api.get(Ref("v1", "Namespace", installed.namespace))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for item in render(installed, facts.read(api, installed)):
        if item["kind"] == "Deployment":
            template = item["spec"]["template"]
            meta = {**template["metadata"], **item["metadata"], "name": "admitted"}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
            assert api.create(pod, dry_run=True)["spec"]["containers"]


def test_a_span_and_its_metrics_arrive_from_a_users_pod(api, installed):
    """Through the Service, under the identity that Kubernetes knows; pods are `restricted`."""
    (span,) = stored(api, installed, send_a_trace(api, installed))
    assert span.attributes["user.hash"] == "of-kubernetes"
    assert span.status == "error"
    assert "somebody else" not in repr(span)
    of = f'service_namespace="{installed.name}"'
    assert measured(api, installed, f"traces_span_metrics_calls_total{{{of}}}")


def test_the_collector_reads_no_more_than_it_may_and_that_is_enough(api, installed):
    """Pods of each of the facility's namespaces, and the kubelets; the API has refused nothing."""
    assert measured(api, installed, f'up{{job="{installed.name}/kubelet"}} == 1')
    (pod,) = collectors(api, installed)
    said = api.logs(installed.namespace, pod["metadata"]["name"], "collector")
    assert "forbidden" not in said
    account = f"system:serviceaccount:{installed.namespace}:af-otel-collector"
    assert account not in said


def test_a_way_out_goes_with_the_policy_that_shut_the_pods_in(cluster, api, installed):
    """Ours alone would shut them in: a chart that no longer isolates its pods takes ours along."""
    theirs = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "singleuser", "namespace": installed.hub.namespace},
        "spec": {
            "podSelector": {"matchLabels": {"component": "singleuser-server"}},
            "policyTypes": ["Egress"],
        },
    }
    cluster.apply(theirs)
    (way,) = (
        item
        for item in render(installed, facts.read(api, installed))
        if item["metadata"]["name"] == f"af-otel-{installed.name}-egress-singleuser"
    )
    api.apply(way)
    api.delete(theirs)
    wait_for(lambda: api.get(way) is None, "our policy is gone, too", 60)


def test_what_jaeger_has_not_received_survives_the_collector(cluster, api, installed):
    """Jaeger is away and the Collector's pod is killed: the trace is stored when both are back."""
    scaled(cluster, api, installed, "af-otel-jaeger", 0)
    trace = send_a_trace(api, installed)
    (pod,) = collectors(api, installed)
    api.delete(pod, grace=0)
    wait_for(lambda: api.get(pod) is None, "the Collector's pod is gone", 60)
    ready(api, installed, "af-otel-collector")
    scaled(cluster, api, installed, "af-otel-jaeger", 1)
    assert stored(api, installed, trace)


def test_jaeger_keeps_its_traces_when_its_pod_is_killed(api, installed):
    """They are on its volume, and a request is answered only once its spans are."""
    trace = send_a_trace(api, installed)
    assert stored(api, installed, trace)
    labels = {"app.kubernetes.io/name": "af-otel-jaeger"}
    (pod,) = api.list("Pod", namespace=installed.namespace, labels=labels)
    api.delete(pod, grace=0)
    wait_for(lambda: api.get(pod) is None, "Jaeger's pod is gone", 60)
    # The Deployment may report the old pod as ready for a moment.
    wait_for(
        lambda: any(
            is_ready(each)
            for each in api.list("Pod", namespace=installed.namespace, labels=labels)
            if each["metadata"]["uid"] != pod["metadata"]["uid"]
        ),
        "another pod of Jaeger is ready",
        120,
    )
    assert stored(api, installed, trace)


def test_the_same_objects_again_change_nothing(api, installed):
    """A second install is a plan without changes, and no pod is made anew."""
    objects = render(installed, facts.read(api, installed))
    for item in objects:
        before = api.get(item)
        if item["metadata"]["name"] == "af-otel-grafana" or item["kind"] == "Secret":
            continue
        if item["kind"] == "Deployment":
            item["spec"]["replicas"] = before["spec"]["replicas"]
        after = api.apply(item, dry_run=True)
        for each in (before, after):
            each["metadata"].pop("managedFields", None)
        assert after == before, item["metadata"]["name"]
