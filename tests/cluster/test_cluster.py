"""The cluster that other tests are run on, and the facility on it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from pathlib import Path

import psutil
import pytest

import af_otel.kubernetes.client
from servers import wait_for

COMPUTE = """
from dask_gateway import Gateway

cluster = Gateway().new_cluster()
cluster.scale(1)
client = cluster.get_client()
client.wait_for_workers(1, timeout=120)
print(sum(client.gather(client.map(abs, range(-10, 0)))))
client.close()
cluster.shutdown()
"""
FETCH = "import urllib.request; urllib.request.urlopen('{url}', timeout=3)"
CGROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def pod(cluster, namespace, image, *command, name="pod"):
    """A pod that runs, and is gone at the end; its address."""
    body = {
        "metadata": {"name": name, "labels": {"pod": name}},
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "Never",
                    "command": list(command),
                    "ports": [{"name": "web", "containerPort": 8000}],
                }
            ]
        },
    }
    cluster.core.create_namespaced_pod(namespace, body)
    try:
        wait_for(lambda: phase(cluster, namespace, name) == "Running", f"pod {name} runs", 60)
        yield cluster.core.read_namespaced_pod(name, namespace).status.pod_ip
    finally:
        cluster.core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)


def phase(cluster, namespace, name):
    return cluster.core.read_namespaced_pod(name, namespace).status.phase


def run(cluster, namespace, *command, name="pod"):
    """What came of a command in a pod."""
    client = af_otel.kubernetes.client.Cluster.connect(cluster.kubeconfig)
    return client.exec(namespace, name, list(command), timeout=60)


def test_the_node_is_ready(cluster):
    """There is one node, and it takes pods."""
    assert [node.metadata.name for node in cluster.core.list_node().items] == ["node1"]
    assert cluster.node_is_ready()


def test_pods_find_services_by_name(facility_on_cluster):
    """Cluster DNS answers, and a name of the world is refused at once."""
    cluster = facility_on_cluster.cluster
    with cluster.namespace("dns") as namespace:
        with pod(cluster, namespace, "localhost/af-otel-test/user:1", "sleep", "600"):
            there = run(
                cluster, namespace, "getent", "hosts", "kubernetes.default.svc.cluster.local"
            )
            assert "10.96.0.1" in there.out
            assert run(cluster, namespace, "getent", "hosts", "example.org").code == 2


def test_packets_between_pods_can_be_lost(facility_on_cluster):
    """What `dropped` names is unreachable while its block lasts, and reachable before and after."""
    cluster = facility_on_cluster.cluster
    image = "localhost/af-otel-test/user:1"
    serve = ("python3", "-m", "http.server", "8000")
    with cluster.namespace("drop") as namespace, pod(cluster, namespace, image, *serve) as server:
        with pod(cluster, namespace, image, "sleep", "600", name="client") as client:

            def reached():
                code = FETCH.format(url=f"http://{server}:8000")
                return run(cluster, namespace, "python3", "-c", code, name="client").code == 0

            wait_for(reached, "the server answers")
            with cluster.dropped([client], [server]):
                assert not reached()
            assert reached()


def test_policies_are_enforced(facility_on_cluster):
    """Who is isolated reaches what some policy allows, by the port's name too, and nothing else."""
    cluster = facility_on_cluster.cluster
    image = "localhost/af-otel-test/user:1"
    serve = ("python3", "-m", "http.server", "8000")
    with (
        cluster.namespace("served", {"served": "yes"}) as other,
        cluster.namespace("policy") as namespace,
        pod(cluster, other, image, *serve) as server,
        pod(cluster, namespace, image, "sleep", "600"),
    ):

        def reached():
            code = FETCH.format(url=f"http://{server}:8000")
            return run(cluster, namespace, "python3", "-c", code).code == 0

        wait_for(reached, "the server answers")
        cluster.apply(policy("nothing", []), namespace=namespace)
        wait_for(lambda: not reached(), "the pod is isolated")
        to = [{"namespaceSelector": {"matchLabels": {"served": "yes"}}}]
        cluster.apply(policy("other", [{"to": to, "ports": [{"port": 9}]}]), namespace=namespace)
        assert not reached()
        cluster.apply(
            policy("served", [{"to": to, "ports": [{"port": "web"}]}]), namespace=namespace
        )
        wait_for(reached, "what is allowed is reached")


def policy(name, egress):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress},
    }


def test_an_image_is_a_directory(cluster, tmp_path):
    """A tree with one program is an image of any name, as if it had been pulled."""
    (tmp_path / "tree").mkdir(mode=0o755)
    (tmp_path / "tree" / "pause").write_bytes(b"#!/nothing\n")
    (tmp_path / "tree" / "pause").chmod(0o755)
    cluster.image("registry.example.org/a/b:1.2", tmp_path / "tree", entrypoint=["/pause"])
    assert cluster.has_image("registry.example.org/a/b:1.2")


def test_a_users_server_computes_with_dask(facility_on_cluster):
    """The hub starts a server in a pod; through the proxy it runs a cell, with Dask in pods."""
    facility = facility_on_cluster
    name = facility.start_server("deployed")
    try:
        labels = facility.cluster.core.read_namespaced_pod(name, facility.namespace).metadata.labels
        assert labels["component"] == "singleuser-server"
        with facility.notebook("deployed").kernel() as kernel:
            assert kernel.text(COMPUTE) == "55\n"
    finally:
        facility.stop_server("deployed")


@pytest.fixture
def before():
    return left_on_machine()


def left_on_machine():
    """What a cluster could leave: links, mounts, control groups, rules."""
    links = json.loads(subprocess.run(["ip", "-j", "link"], check=True, capture_output=True).stdout)
    rules = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    return {
        "links": sorted(link["ifname"] for link in links),
        "mounts": sorted(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()),
        "groups": sorted(str(path) for path in CGROUPS.glob("*/af-otel-*")),
        "rules": re.findall(r"^-A.*", rules, re.MULTILINE),
    }


def test_a_clusters_end_leaves_nothing(before, own_cluster):
    """The API may be away for a while; after `down` no process, mount, link or rule is there."""
    with own_cluster.namespace("last") as namespace:
        own_cluster.stop_api()
        assert not own_cluster.api_is_ready()
        own_cluster.start_api()
        assert own_cluster.core.read_namespace(namespace)
    state = str(own_cluster.state)
    assert of(state)
    assert left_on_machine() != before

    own_cluster.down()

    assert not of(state)
    assert not own_cluster.state.exists()
    assert left_on_machine() == before


def of(state):
    """The processes that have the cluster's directory in their command line."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(state in word for word in process.info["cmdline"] or ())
    ]
