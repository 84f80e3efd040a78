"""Read from a live cluster what decides which objects a facility needs there."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from af_otel.kubernetes.claims import KIND
from af_otel.kubernetes.objects._labels import COLLECTOR, chooses, label_selector
from af_otel.kubernetes.objects.facts import Facts, Workload, namespaces
from af_otel.kubernetes.ownership import owner
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

_MONITORING = "monitoring.coreos.com/v1"
_DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def read(cluster: Cluster, facility: Facility) -> Facts:
    """The facts of a facility's cluster."""
    namespace = cluster.get(Ref("v1", "Namespace", facility.namespace))
    kinds = cluster.resources(_MONITORING)
    password = _password(cluster, facility)
    return Facts(
        version=cluster.version,
        namespace_exists=namespace is not None and owner(namespace) != facility.name,
        storage=_storage(cluster, facility.collector.storage.storage_class),
        claims=_claims(cluster, facility),
        network_policies=tuple(
            policy
            for name in namespaces(facility)
            for policy in cluster.list("NetworkPolicy", "networking.k8s.io/v1", name)
            if owner(policy) is None
        ),
        monitors=frozenset(kinds) & {"ServiceMonitor", "PodMonitor"},
        hub=_hub(cluster, facility),
        **({"grafana_password": password} if password else {}),
    )


def _hub(cluster: Cluster, facility: Facility) -> Workload | None:
    """Return what runs the hub; from the workload, as its pod may be away just now."""
    selector = label_selector(facility.hub.selector)
    for kind in ("Deployment", "StatefulSet"):
        for item in cluster.list(kind, "apps/v1", facility.hub.namespace):
            template = item["spec"]["template"]
            if chooses(selector, template["metadata"].get("labels") or {}):
                account = template["spec"].get("serviceAccountName") or "default"
                return Workload(item["metadata"]["name"], account)
    return None


def _storage(cluster: Cluster, wanted: str | None) -> bool:
    classes = cluster.list("StorageClass", "storage.k8s.io/v1")
    if wanted is not None:
        return any(each["metadata"]["name"] == wanted for each in classes)
    return any(
        (each["metadata"].get("annotations") or {}).get(key) == "true"
        for each in classes
        for key in _DEFAULT_CLASS
    )


def _claims(cluster: Cluster, facility: Facility) -> frozenset[str]:
    wanted = facility.backends
    servers = [name for name in ("prometheus", "jaeger", "grafana") if getattr(wanted, name)]
    names = [COLLECTOR, *(f"af-otel-{name}" for name in servers)]
    found = {name: cluster.get(Ref("v1", KIND, name, facility.namespace)) for name in names}
    return frozenset(
        name for name, claim in found.items() if claim and owner(claim) == facility.name
    )


def _password(cluster: Cluster, facility: Facility) -> str:
    secret = cluster.get(Ref("v1", "Secret", "af-otel-grafana", facility.namespace))
    for value in (secret or {}).get("data", {}).values():
        return base64.b64decode(value).decode()
    return ""
