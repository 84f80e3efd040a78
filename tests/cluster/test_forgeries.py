"""A user's pod, and a user who may create pods, try to pass for others."""

from __future__ import annotations

import kubernetes
import pytest
from af_otel_semconv.carriers import stored_session_id
from otlp import new_counter, new_span, resource_metrics, resource_spans

from cluster.collecting import a_deployment, a_pod, collecting, may_create_pods
from servers import wait_for

VICTIM = {"af-otel.io/session-id": "b" * 32, "af-otel.io/user-hash": "fedcba9876543210"}
MALLORY = {"af-otel.io/session-id": "c" * 32, "af-otel.io/user-hash": "0123456789abcdef"}
USER = {"component": "singleuser-server"}
# What others can see of the victim: the stored hash of the session, not its id.
AS_VICTIM = {
    "session.id": VICTIM["af-otel.io/session-id"],
    "user.hash": VICTIM["af-otel.io/user-hash"],
    "k8s.pod.name": "jupyter-victim",
    "service.instance.id": "victims-kernel",
}


@pytest.fixture(scope="module")
def running(cluster):
    """A victim's pod and mallory's, whose Dask operator creates any pod for them."""
    with collecting(cluster, "forgery") as made:
        cluster.apply(*may_create_pods("operator"), namespace=made.facility.hub.namespace)
        made.pod("jupyter-victim", labels=USER, annotations=VICTIM)
        made.pod("jupyter-mallory", labels=USER, annotations=MALLORY)
        made.pod("dask-mallory", account="operator")
        yield made


@pytest.fixture
def operator(running):
    return running.acting_as("operator")


def stored(running, pod, *spans, resource):
    """Return what is stored of spans that a pod sends."""
    running.post(pod, "/v1/traces", {"resourceSpans": [resource_spans(spans, resource)]})
    return [span for each in spans for span in running.trace(each["traceId"])]


def refused(call, *arguments):
    with pytest.raises(kubernetes.client.ApiException) as caught:
        call(*arguments)
    assert caught.value.status == 403
    assert "af-otel" in caught.value.body
    return caught.value.body


def test_1_spans_of_another_user(running):
    """Their session, pseudonym, pod and process, on the resource and on the span."""
    resource = {"service.name": "jupyter-kernel", **AS_VICTIM}
    (span,) = stored(
        running, "jupyter-mallory", new_span("run cell", attributes=AS_VICTIM), resource=resource
    )

    for attributes in (span.attributes, span.resource):
        assert attributes["session.id"] == MALLORY["af-otel.io/session-id"]
        assert attributes["user.hash"] == MALLORY["af-otel.io/user-hash"]
    assert span.resource["k8s.pod.name"] == "jupyter-mallory"
    assert span.resource["service.instance.id"].startswith(
        f"{running.facility.hub.namespace}/jupyter-mallory/"
    )


def test_2_spans_of_another_session_from_a_pod_without_one(running):
    """A Dask pod may say its session; who has read another's in a store only has a hash of it."""
    (span,) = stored(
        running, "dask-mallory", new_span("task", attributes=AS_VICTIM), resource=AS_VICTIM
    )

    for attributes in (span.attributes, span.resource):
        assert attributes["session.id"] == stored_session_id(AS_VICTIM["session.id"])
        assert "user.hash" not in attributes


def test_3_a_spawn_in_the_name_of_the_hub(running):
    """By the service's name, and with a root that looks like the hub's."""
    (span,) = stored(
        running,
        "jupyter-mallory",
        new_span("spawn server", attributes=AS_VICTIM),
        resource={"service.name": "jupyterhub"},
    )

    assert span.service == "unknown_service"
    assert span.attributes["user.hash"] == MALLORY["af-otel.io/user-hash"]


def test_4_metrics_of_the_facility(running):
    """Alerts, span metrics, the hub's numbers and kubelets' are refused, and counted as such."""
    names = ("ALERTS", "traces_span_metrics_calls", "jupyterhub.server.active", "pod_cpu_usage")
    metrics = [new_counter(name, 10**6) for name in names]
    running.post(
        "jupyter-mallory",
        "/v1/metrics",
        {"resourceMetrics": [resource_metrics(metrics, {"service.name": "jupyter-kernel"})]},
    )

    pod = 'k8s_pod_name="jupyter-mallory",reason="reserved"'
    assert running.measured(f"af_otel_refused_points_total{{{pod}}} >= {len(names)}")
    assert not running.has('{__name__=~"(ALERTS|traces|jupyterhub|pod_cpu).*"} == 1e6')


def test_5_labels_that_are_another_pods(running):
    """Without `service.name`, which would take the place of `job`."""
    labels = {
        "job": f"{running.facility.name}/jupyterhub",
        "instance": "jupyter-victim",
        "exported_instance": "jupyter-victim",
        "k8s_pod_name": "jupyter-victim",
        "user_hash": VICTIM["af-otel.io/user-hash"],
        "user.hash": VICTIM["af-otel.io/user-hash"],
    }
    running.post(
        "jupyter-mallory",
        "/v1/metrics",
        {"resourceMetrics": [resource_metrics([new_counter("user.forged", 1, labels)], {})]},
    )

    (series,) = running.measured("user_forged_total")
    namespace = running.facility.hub.namespace
    assert series["metric"] == {
        "__name__": "user_forged_total",
        "job": f"{running.facility.name}/unknown_service",
        "instance": f"{namespace}/jupyter-mallory/unknown",
        "user_hash": MALLORY["af-otel.io/user-hash"],
    }


def test_6_a_pod_with_another_users_annotations(running, operator):
    """Whoever may create pods chooses their annotations, but these."""
    body = a_pod("forged", annotations=VICTIM)
    said = refused(operator.create_namespaced_pod, running.facility.hub.namespace, body)
    assert "may be set only by service account" in said


def test_7_another_users_annotations_on_a_pod_that_runs(running, operator):
    """By its object, its status and its binding."""
    namespace = running.facility.hub.namespace
    change = {"metadata": {"annotations": VICTIM}}
    for pod in ("jupyter-mallory", "dask-mallory"):
        refused(operator.patch_namespaced_pod, pod, namespace, change)
        refused(operator.patch_namespaced_pod_status, pod, namespace, change)
    body = a_pod("bound")
    body["spec"]["schedulerName"] = "nobody"
    operator.create_namespaced_pod(namespace, body)
    target = {"kind": "Node", "apiVersion": "v1", "name": "node1"}
    binding = {"metadata": {"name": "bound", "annotations": VICTIM}, "target": target}
    refused(operator.create_namespaced_pod_binding, "bound", namespace, binding)


def test_8_a_pod_with_the_hubs_labels(running, operator):
    """And with the hub's owner, which whoever creates a pod writes as they like."""
    namespace = running.facility.hub.namespace
    (hub,) = running.api.list("Pod", namespace=namespace, labels={"component": "hub"})
    body = a_pod("hub-forged", hub["metadata"]["labels"])
    body["metadata"]["ownerReferences"] = hub["metadata"]["ownerReferences"]
    said = refused(operator.create_namespaced_pod, namespace, body)
    assert "is the hub's" in said


def test_9_the_hubs_labels_on_a_pod_that_runs(running, operator):
    """Nor may it be given to the hub's owner, and labelled afterwards."""
    namespace = running.facility.hub.namespace
    (hub,) = running.api.list("Pod", namespace=namespace, labels={"component": "hub"})
    labelled = {"metadata": {"labels": hub["metadata"]["labels"]}}
    refused(operator.patch_namespaced_pod, "dask-mallory", namespace, labelled)
    refused(operator.patch_namespaced_pod_status, "dask-mallory", namespace, labelled)
    # The hub's own pod stays whose it is.
    other = {"metadata": {"labels": {"pod-template-hash": "other"}}}
    refused(operator.patch_namespaced_pod, hub["metadata"]["name"], namespace, other)


def test_10_a_deployment_with_the_hubs_labels(running):
    """An operator makes such for its users: the pod runs, and is not the hub."""
    namespace = running.facility.hub.namespace
    labels = {"component": "hub", "dask": "scheduler"}
    running.cluster.apply(a_deployment("mallory-scheduler", labels), namespace=namespace)
    (pod,) = wait_for(
        lambda: running.api.list("Pod", namespace=namespace, labels=labels), "its pod"
    )
    name = pod["metadata"]["name"]
    running.runs(name, namespace)

    (span,) = stored(
        running,
        name,
        new_span("spawn server", attributes=AS_VICTIM),
        resource={"service.name": "jupyterhub", **AS_VICTIM},
    )

    assert span.service == "unknown_service"
    for attributes in (span.attributes, span.resource):
        assert "user.hash" not in attributes
        assert attributes["session.id"] == stored_session_id(AS_VICTIM["session.id"])
    assert span.resource["k8s.pod.name"] == name


def test_none_is_stored_under_the_victims_name(running):
    """After all of it there is nothing of the victim, who has sent nothing."""
    with running.jaeger() as store:
        session = VICTIM["af-otel.io/session-id"]
        assert not store.session_traces(session, start=0).ids
    user = VICTIM["af-otel.io/user-hash"]
    for query in (f'{{user_hash="{user}"}}', '{k8s_pod_name="jupyter-victim"}'):
        assert not running.has(query)
