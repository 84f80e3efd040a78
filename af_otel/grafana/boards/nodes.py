"""Kubernetes and nodes: what kubelets say of nodes, and of the facility's pods and volumes."""

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
    """Nodes, pods and volumes, as far as they are the facility's."""
    return kit.board(
        place,
        "kubernetes",
        "Kubernetes and nodes",
        "CPU, memory and disks of nodes, and of this facility's pods and volumes. Other pods of "
        "the cluster are in the nodes' numbers only.",
        {"Nodes": _nodes(), "Pods": _pods(), "Volumes": _volumes()},
        [
            choice(
                "namespace",
                "Namespace",
                "pod_memory_working_set_bytes",
                "namespace",
                "Of pods and volumes",
            )
        ],
    )


def _nodes() -> list[kit.Panel]:
    # Each facility on a node measures all of it.
    used, there = (promql.series(f"container_fs_{what}_bytes", ROOT) for what in ("usage", "limit"))
    return [
        kit.lines(
            "CPU",
            "Cores in use on each node, by all of its pods.",
            "short",
            {
                "{{node}}": "max by (node) (rate("
                f"{promql.series('node_cpu_usage_seconds_total')}[{promql.WINDOW}]))"
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Memory",
            "What each node cannot give away: its working set. Near the node's memory, pods are "
            "evicted.",
            "bytes",
            {"{{node}}": promql.most("node_memory_working_set_bytes", by="node")},
            width=kit.THIRD,
        ),
        kit.lines(
            "Disk",
            "The fullest of each node's own file systems. From 85 % on kubelets throw images away, "
            "so the next spawn pulls them again.",
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
            "Cores in use. A user's pod that stays at its limit is slowed down.",
            "short",
            {
                "{{pod}}": "topk (10, "
                + promql.rate(promql.series("pod_cpu_usage_seconds_total", NAMESPACE), "pod")
                + ")"
            },
        ),
        kit.lines(
            "Memory of the ten largest pods",
            "Working set: at the pod's limit the kernel in it is killed, and the user sees "
            "`Kernel died`.",
            "bytes",
            {
                "{{pod}}": "topk (10, "
                + promql.total("pod_memory_working_set_bytes", NAMESPACE, by="pod")
                + ")"
            },
        ),
        kit.lines(
            "Pods",
            "That have a working set, by namespace.",
            "short",
            {
                "{{namespace}}": "count by (namespace) "
                f"({promql.series('pod_memory_working_set_bytes', NAMESPACE)})"
            },
            width=kit.THIRD,
        ),
        kit.lines(
            "Containers that started anew",
            "Within five minutes. The hub's is people who are logged out of nothing, but cannot "
            "start servers; many are a crash that repeats.",
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
            "What the facility uses of the cluster.",
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
    # Each node on which a claim is mounted measures all of it.
    used, there = (
        promql.most(f"kubelet_volume_stats_{what}_bytes", NAMESPACE, by=CLAIM)
        for what in ("used", "capacity")
    )
    return [
        kit.bars(
            "The fullest volumes",
            "Of the volumes that are mounted somewhere. A full home directory is a server that "
            "does not start.",
            "percentunit",
            {LEGEND: f"topk (15, {used} / ({there} > 0))"},
            limits=(0.8, 0.95),
            most=1,
        ),
        kit.lines(
            "What volumes hold",
            "Used bytes by claim; a steep line is a job that writes where it should not.",
            "bytes",
            {LEGEND: f"topk (15, {used})"},
        ),
    ]
