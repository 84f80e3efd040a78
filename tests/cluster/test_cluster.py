"""The cluster that other tests are run on, and the facility on it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

import af_otel.kubernetes.client
from cluster.node import Node
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


def test_a_clusters_end_leaves_nothing(own_cluster):
    """The API may be away for a while; after `down` no process, mount, link or rule is there."""
    with own_cluster.namespace("last") as namespace:
        own_cluster.stop_api()
        assert not own_cluster.api_is_ready()
        own_cluster.start_api()
        assert own_cluster.core.read_namespace(namespace)
    state, link, group = own_cluster.state, own_cluster.node.link_name, own_cluster.node.cgroup
    assert on_machine(state, link, group)

    own_cluster.down()

    assert not state.exists()
    assert not on_machine(state, link, group)


def test_a_killed_run_leaves_only_files(cluster, tmp_path):
    """Killed with no chance to clean up, a run takes its node along; the next removes the files."""
    code = (
        "import sys, time; from pathlib import Path; from cluster.node import Node; "
        "node = Node(Path(sys.argv[1])); node.up(keep=False); node.start('x', 'sleep', '600'); "
        "print('up', flush=True); time.sleep(600)"
    )
    node = Node(tmp_path / "node")
    node.state.mkdir()
    path = os.pathsep.join(sys.path)
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(node.state)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        assert run.stdout.readline() == b"up\n"
        link = node.link_name
        assert on_machine(node.state, link, node.cgroup)
    finally:
        run.kill()
        run.wait()
    wait_for(node.is_left_over, "the node is gone")
    wait_for(lambda: link not in links(), "its link is gone")
    node.down()
    assert not on_machine(node.state, link, node.cgroup)
    assert not node.state.exists()


def on_machine(state, link, group):
    """What of a cluster there is on this machine, besides its files."""
    of_state = [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any(str(state) in word for word in process.info["cmdline"] or ())
        and process.pid != os.getpid()
    ]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(state) in line]
    groups = [path for path in CGROUPS.glob("**/af-otel-*") if path.name == group]
    rules = subprocess.run(["iptables-save"], check=True, capture_output=True, text=True).stdout
    named = [line for line in rules.splitlines() if link in line.split()]
    return [*of_state, *mounts, *groups, *named, *(links() & {link})]


def links():
    listed = subprocess.run(["ip", "-j", "link"], check=True, capture_output=True).stdout
    return {link["ifname"] for link in json.loads(listed)}
