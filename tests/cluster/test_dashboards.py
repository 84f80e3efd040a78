"""The panels that only a cluster fills: kubelets', and the sampler's."""

from __future__ import annotations

import contextlib

from panels import ON_A_CLUSTER, empty

from cluster.collecting import USER, collecting

# Scrapes every 2 s; a rate needs two, and kubelets look at volumes once a minute.
WITHIN = 240


def test_every_panel_of_a_cluster_has_data(cluster):
    """A user's pod with a volume runs, a trace is decided on; a panel without data is named."""
    with collecting(cluster, "boards") as made, volume(made):
        made.pod("sender", labels={"component": "singleuser-server"})
        made.send("sender", seconds=8)
        namespace = made.facility.namespace
        with (
            made.tempo() as tempo,
            made.api.forward(namespace, "service/af-otel-prometheus", 9090) as prometheus,
        ):
            urls = {"prometheus": prometheus, "tempo": tempo}
            left = empty(urls, ON_A_CLUSTER.__contains__, WITHIN)

    assert not left, "Panels without data:\n" + "\n".join(left)


@contextlib.contextmanager
def volume(made):
    """A claim that a pod uses, on a directory of the node: kubelets measure such a volume."""
    namespace = made.facility.hub.namespace
    (node, *_) = made.api.list("Node")
    name, host = f"{namespace}-home", node["metadata"]["labels"]["kubernetes.io/hostname"]
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}
    common = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "",
        "volumeMode": "Filesystem",
    }
    disk = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            **common,
            "capacity": {"storage": "1Gi"},
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": "/var/tmp"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "home", "namespace": namespace},
        "spec": {
            **common,
            "volumeName": name,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "at-home",
            "namespace": namespace,
            "annotations": {"af-otel.io/inject": "false"},
        },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": USER,
                    "imagePullPolicy": "Never",
                    "command": ["sleep", "infinity"],
                    "volumeMounts": [{"name": "home", "mountPath": "/mnt", "readOnly": True}],
                }
            ],
            "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}],
        },
    }
    for item in (disk, claim, pod):
        made.cluster.apply(item)
    try:
        yield
    finally:
        for item in (pod, claim, disk):
            made.api.delete(item)
