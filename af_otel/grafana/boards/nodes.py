"""Kubernetes and nodes: metrics of kubelets about nodes, and the facility's pods and volumes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.grafana import kit, promql
from af_otel.grafana.variables import choice

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard

    from af_otel.grafana.place import Place

NAMESPACE = 'namespace=~"$namespace"'
ROOT = 'id="/"'
CLAIM = "namespace, persistentvolumeclaim"
LEGEND = "{{namespace}}/{{persistentvolumeclaim}}"


def nodes(place: Place) -> Dashboard:
    """Return the dashboard of the facility's nodes, pods and volumes."""
    return kit.board(
        place,
        "kubernetes",
        "Kubernetes and nodes",
        "CPU, memory and disks of nodes, and of this facility's pods and volumes. Other pods are "
        "included in the numbers of nodes only.",
        {"Nodes": _nodes(), "Pods": _pods(), "Volumes": _volumes()},
        [
            choice(
                "namespace",
                "Namespace",
                "pod_memory_working_set_bytes",
                "namespace",
                "The namespace of pods and volumes",
            )
        ],
    )


def _nodes() -> list[kit.Panel]:
    # Each facility on a node measures the whole node.
    used, there = (promql.series(f"container_fs_{what}_bytes", ROOT) for what in ("usage", "limit"))
    return [
        kit.lines(
            "CPU",
            "Cores in use on each node, by all pods.",
            "short",
            {
                "{{node}}": "max by (node) (rate("
                f"{promql.series('node_cpu_usage_seconds_total')}[{promql.WINDOW}]))"
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Memory",
            "The working set of each node. When it comes close to the node's memory, pods are "
            "evicted.",
            "bytes",
            {"{{node}}": promql.most("node_memory_working_set_bytes", by="node")},
            width=kit.THIRD,
        ),
        kit.lines(
            "Disk",
            "The fullest file system of each node. Above 85 %, kubelets delete images, and the "
            "next spawn pulls them again.",
            "percentunit",
            {"{{node}}": f"max by (node) ({used} / ({there} > 0))"},
            limits=(0.75, 0.85),
            width=kit.THIRD,
        ),
    ]


def _pods() -> list[kit.Panel]:
    return [
        kit.lines(
            "CPU of the ten busiest pods",
            "Cores in use. A pod that stays at its limit is throttled.",
            "short",
            {
                "{{pod}}": "topk (10, "
                + promql.rate(promql.series("pod_cpu_usage_seconds_total", NAMESPACE), "pod")
                + ")"
            },
        ),
        kit.lines(
            "Memory of the ten largest pods",
            "The working set. At the pod's limit its kernel is killed, and the user sees `Kernel "
            "died`.",
            "bytes",
            {
                "{{pod}}": "topk (10, "
                + promql.total("pod_memory_working_set_bytes", NAMESPACE, by="pod")
                + ")"
            },
        ),
        kit.lines(
            "Pods",
            "Running pods by namespace.",
            "short",
            {
                "{{namespace}}": "count by (namespace) "
                f"({promql.series('pod_memory_working_set_bytes', NAMESPACE)})"
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Container restarts",
            "Within five minutes. While the hub restarts, users cannot start servers. Many "
            "restarts mean a crash loop.",
            "short",
            {
                "{{namespace}}": "sum by (namespace) (changes("
                f"{promql.series('container_start_time_seconds', NAMESPACE)}[{promql.WINDOW}]))"
            },
            limits=(1, 5),
            width=kit.THIRD,
        ),
        kit.lines(
            "CPU by namespace",
            "CPU that the facility uses.",
            "short",
            {
                "{{namespace}}": promql.rate(
                    promql.series("container_cpu_usage_seconds_total", NAMESPACE), "namespace"
                )
            },
            stacked=True,
            width=kit.THIRD,
        ),
    ]


def _volumes() -> list[kit.Panel]:
    # Each node that mounts a claim measures the whole volume.
    used, there = (
        promql.most(f"kubelet_volume_stats_{what}_bytes", NAMESPACE, by=CLAIM)
        for what in ("used", "capacity")
    )
    return [
        kit.bars(
            "Fullest volumes",
            "Among volumes that are mounted. A server with a full home directory does not start.",
            "percentunit",
            {LEGEND: f"topk (15, {used} / ({there} > 0))"},
            limits=(0.8, 0.95),
            most=1,
        ),
        kit.lines(
            "Used bytes of volumes",
            "By claim. A steep rise may be a job that writes to the wrong place.",
            "bytes",
            {LEGEND: f"topk (15, {used})"},
        ),
    ]
