"""A real hub under the injection policy: its users' pods, its Dask pods, and whose they are."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from af_otel_semconv.carriers import stored_session_id

from af_otel.facility import Facility
from af_otel.kubernetes.client import Cluster
from af_otel.kubernetes.objects.injection import policy
from af_otel.kubernetes.objects.payload import payload, payload_name
from af_otel.kubernetes.proof import prove_injection
from af_otel.kubernetes.refs import Ref
from cluster import deploy
from servers import wait_for

COLLECTOR = "otel/opentelemetry-collector-contrib:0.159.0"
CONFIG = {
    "receivers": {"otlp": {"protocols": {"http": {"endpoint": "0.0.0.0:4318"}}}},
    "exporters": {"debug": {"verbosity": "detailed"}},
    "service": {
        "pipelines": {
            signal: {"receivers": ["otlp"], "exporters": ["debug"]}
            for signal in ("traces", "metrics")
        }
    },
}
# A facility's own hooks, on every trait that there is one for; the last makes a pod of its own.
HOOKS = """
async def modify_pod_hook(spawner, pod):
    pod.metadata.annotations = {"theirs": "kept", "af-otel.io/user-hash": "somebody else"}
    pod.metadata.labels["theirs"] = "kept"
    return pod

def pre_spawn_hook(spawner):
    spawner.environment["THEIRS"] = "kept {username}"

c.Spawner.http_timeout = 180
c.KubeSpawner.modify_pod_hook = modify_pod_hook
c.Spawner.pre_spawn_hook = pre_spawn_hook
c.KubeSpawner.extra_annotations = {"af-otel.io/session-id": "{username}"}
"""
ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
COMPUTE = """
from dask_gateway import Gateway
cluster = Gateway().new_cluster()
cluster.scale(1)
client = cluster.get_client()
client.wait_for_workers(1, timeout=120)
print(sum(client.gather(client.map(abs, range(-10, 0)))), cluster.name)
"""
END = """
client.close()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def hub(cluster):
    """A facility with a Collector that writes down what it gets, injected by the policy."""
    deploy.load_images(cluster)
    client = Cluster.connect(cluster.kubeconfig)
    with cluster.namespace("inject-hub") as namespace, contextlib.ExitStack() as stack:
        facility = Facility.model_validate(
            {
                "name": namespace,
                "namespace": namespace,
                "hub": {"namespace": namespace},
                "users": {"namespaces": [namespace]},
                "dask": [
                    {
                        "namespaces": [namespace],
                        "selector": {
                            "app.kubernetes.io/name": "dask-gateway",
                            "app.kubernetes.io/component": ["dask-scheduler", "dask-worker"],
                        },
                    }
                ],
                "destinations": {
                    "traces": {"tempo": {"endpoint": "http://tempo:4318"}},
                    "metrics": {
                        "remote_write": {"endpoint": "http://prometheus:9090/api/v1/write"}
                    },
                },
            }
        )
        objects = [
            *payload(facility),
            *collector(namespace),
            *policy(facility, payload_name(facility)),
        ]
        for each in objects:
            client.apply(each)
            if "namespace" not in each["metadata"]:
                stack.callback(client.delete, each)
        assert prove_injection(client, facility) == []
        yield deploy.deploy(cluster, namespace, namespace, {"hooks": HOOKS}), client


def collector(namespace):
    """A Collector, and the way to it: the chart's policies let users go nowhere else."""
    labels = {"app": "af-otel-collector"}
    isolated = {"component": "singleuser-server"}
    meta = {"name": "af-otel-collector", "namespace": namespace}
    container = {
        "name": "collector",
        "image": COLLECTOR,
        "args": [f"--config=yaml:{json.dumps(CONFIG)}"],
        "ports": [{"containerPort": 4318}],
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**meta, "labels": labels},
            "spec": {"containers": [container]},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": 4318}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": meta,
            "spec": {
                "podSelector": {"matchLabels": isolated},
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"podSelector": {"matchLabels": labels}}]}],
            },
        },
    ]


def received(client, namespace):
    return client.logs(namespace, "af-otel-collector")


def test_a_users_pod_says_whose_it_is(hub):
    """The hub's word, after its own hooks, which all had their way with the rest."""
    facility, client = hub
    name = facility.start_server("ann")
    try:
        pod = client.get(Ref("v1", "Pod", name, facility.namespace))
        made = pod["metadata"]["annotations"]
        run = client.exec(
            facility.namespace, name, ["python3", "-c", ENVIRONMENT], container="notebook"
        )
        env = json.loads(run.out)
    finally:
        facility.stop_server("ann")
    assert made["theirs"] == pod["metadata"]["labels"]["theirs"] == "kept"
    assert env["THEIRS"] == "kept ann"
    carried = dict(item.split("=") for item in env["BAGGAGE"].split(","))
    assert made["af-otel.io/session-id"] == stored_session_id(carried["session.id"])
    assert made["af-otel.io/user-hash"] == carried["user.hash"]
    assert re.fullmatch("[0-9a-f]{16}", carried["user.hash"])
    assert [c["name"] for c in pod["spec"]["initContainers"]] == [
        "af-otel", "block-cloud-metadata",
    ]  # fmt: skip
    wait_for(lambda: "spawn server" in received(client, facility.namespace), "the spawn's span", 60)


def test_pods_of_a_dask_gateway_are_traced(hub):
    """The controller makes them, from a user's kernel; what they compute belongs to its session."""
    facility, client = hub
    facility.start_server("bob")
    try:
        with facility.notebook("bob").kernel() as kernel:
            total, cluster = kernel.text(COMPUTE).split()
            assert total == "55"
            short = cluster.rpartition(".")[2]
            pods = client.list(
                "Pod", namespace=facility.namespace, labels={"gateway.dask.org/cluster": short}
            )
            assert len(pods) == 2
            for pod in pods:
                assert pod["spec"]["initContainers"][0]["name"] == "af-otel"
                assert "af-otel.io/injected" in pod["metadata"]["annotations"]
            kernel.text(END)

        def roles():
            found = set(
                re.findall(r"service.name: Str\((.*?)\)", received(client, facility.namespace))
            )
            return {"dask-scheduler", "dask-worker", "jupyter-kernel", "jupyter-server"} <= found

        wait_for(roles, "telemetry of scheduler and worker", 90)
    finally:
        facility.stop_server("bob")
