"""Dask in pods of its own: of dask-gateway, of dask-kubernetes, of Dask's chart."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from af_otel.facility.discovery.look import labels_of, name_of, namespace_of, template_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from af_otel.facility.discovery.look import Look, Object

    Selector = dict[str, "str | list[str]"]

_NAME, _COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"
_GATEWAY: Selector = {_NAME: "dask-gateway", _COMPONENT: ["dask-scheduler", "dask-worker"]}
_OPERATOR: Selector = {"dask.org/component": ["scheduler", "worker", "job-runner"]}
_CHART: Selector = {"app": "dask", "component": ["scheduler", "worker"]}
_PROPERTIES = re.compile(r"_PROPERTIES = json\.loads\((\"(?:[^\"\\]|\\.)*\")\)")


@dataclass
class Dask:
    """One way in which a facility makes Dask clusters."""

    what: str
    namespaces: list[str]
    selector: Selector
    note: str = ""


def find(look: Look, near: Sequence[str]) -> list[Dask]:
    """Every way that may be seen; `near` are the namespaces of the hub and its users."""
    return [*_gateways(look), *_operator(look, near), *_charts(look, near)]


def _gateways(look: Look) -> Iterator[Dask]:
    servers = [
        item
        for item in look.all("Deployment", "apps/v1")
        if "gateway.dask.org/instance" in labels_of(item) | _pod_labels(item)
        or labels_of(item).get(_NAME) == "dask-gateway"
    ]
    gateways = [
        item for item in servers if _pod_labels(item).get(_COMPONENT, "gateway") == "gateway"
    ]
    running = {namespace_of(pod) for pod in look.all("Pod") if _chosen(_GATEWAY, labels_of(pod))}
    clusters = look.all("DaskCluster", "gateway.dask.org/v1alpha1")
    used = running | {namespace_of(item) for item in clusters}
    for gateway in gateways:
        told = _clusters_of(look, gateway)
        places = sorted(
            ({told} if told else {namespace_of(gateway)}) | (used if len(gateways) == 1 else set())
        )
        about = f"dask-gateway: Deployment `{name_of(gateway)}` in `{namespace_of(gateway)}`"
        chart = labels_of(gateway).get("helm.sh/chart", "")
        note = "makes its clusters where its configuration says" if told else ""
        yield Dask(about + (f", chart {chart}" if chart else ""), places, dict(_GATEWAY), note)
    if used and not gateways:
        yield Dask("dask-gateway: pods or DaskClusters of it", sorted(used), dict(_GATEWAY))
    elif not gateways and look.cluster.serves("gateway.dask.org/v1alpha1", "DaskCluster"):
        # Its kind without the gateway: uninstalled, or in namespaces that may not be read.
        return


def _clusters_of(look: Look, gateway: Object) -> str:
    """Where a gateway makes its clusters, if its chart's ConfigMap says so."""
    before = len(look.unread)
    configured = look.all("ConfigMap", labels="gateway.dask.org/instance")
    del look.unread[before:]
    for item in configured:
        if (namespace_of(item), name_of(item)) == (namespace_of(gateway), name_of(gateway)):
            text = (item.get("data") or {}).get("dask_gateway_config.py", "")
            match = _PROPERTIES.search(text)
            try:
                values = json.loads(json.loads(match[1])) if match else {}
                return str(values["gateway"]["backend"].get("namespace") or "")
            except (ValueError, KeyError, TypeError, AttributeError):
                return ""
    return ""


def _operator(look: Look, near: Sequence[str]) -> Iterator[Dask]:
    api = "kubernetes.dask.org/v1"
    served = look.cluster.serves(api, "DaskCluster")
    clusters = look.all("DaskCluster", api) if served else []
    running = [
        pod
        for pod in look.all("Pod")
        if _chosen(_OPERATOR, labels_of(pod)) and "dask.org/cluster-name" in labels_of(pod)
    ]
    if not served and not running:
        return
    places = sorted({namespace_of(item) for item in (*clusters, *running)} | set(near))
    what = "dask-kubernetes" + (": its operator's kinds are there" if served else "")
    note = "" if clusters or running else "no cluster now; users make them where they run"
    yield Dask(what, places, dict(_OPERATOR), note)


def _charts(look: Look, near: Sequence[str]) -> Iterator[Dask]:
    workers = [
        item for item in look.all("Deployment", "apps/v1") if _chosen(_CHART, _pod_labels(item))
    ]
    places = sorted({namespace_of(item) for item in workers} & set(near)) or sorted(
        {namespace_of(item) for item in workers}
    )
    if places:
        names = ", ".join(f"`{name_of(item)}`" for item in workers)
        yield Dask(f"Dask's chart: Deployments {names}", places, dict(_CHART))


def _pod_labels(workload: Object) -> dict[str, str]:
    return template_of(workload)["metadata"].get("labels") or {}


def _chosen(selector: Selector, labels: dict[str, str]) -> bool:
    return all(
        labels.get(key) in (wanted if isinstance(wanted, list) else [wanted])
        for key, wanted in selector.items()
    )
