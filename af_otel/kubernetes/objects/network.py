"""Who may reach the Collector, and what lets isolated pods do so.

A pod that no policy selects may go anywhere, and the first policy that selects it takes that away.
So a way is opened only beside a policy that isolates pods already, for those very pods, and it goes
when that policy goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.kubernetes.objects._labels import (
    COLLECTOR,
    both,
    chooses,
    chosen_by,
    labels,
    metadata,
    ours,
    pods,
)
from af_otel.kubernetes.objects.monitors import METRICS_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from af_otel.facility import Facility
    from af_otel.kubernetes.objects.facts import Facts

NAMESPACE = "kubernetes.io/metadata.name"
OTLP_PORTS = (4317, 4318)
# Where pods answer Prometheus: z2jh's hub behind its Service, and dask-gateway's dashboards.
HUB_PORT, DASK_PORT = 8081, 8787
_NAME_LENGTH = 253


def policies(facility: Facility, facts: Facts) -> list[dict[str, Any]]:
    """Return all NetworkPolicies: the Collector's own, and a way for each isolating one."""
    return [
        _collector(facility, facts),
        *_egress(facility, facts),
        *_scraped(facility, facts),
    ]


def egress_name(facility: Facility) -> str:
    """How the names of the policies begin that let pods reach the Collector."""
    return f"af-otel-{facility.name}-egress"


def isolates(policy: Mapping[str, Any], direction: str) -> bool:
    """Whether the pods of a policy may only do what some policy allows, `Ingress` or `Egress`."""
    spec = policy["spec"]
    # Without the list, a policy is for ingress, and for egress if it has rules of it.
    default = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    return direction in (spec.get("policyTypes") or default)


def _opens_all(policy: Mapping[str, Any], direction: str) -> bool:
    # An `ipBlock` of all addresses does not count: not every network takes pods for addresses.
    return any(not rule for rule in policy["spec"].get(direction.lower()) or ())


def _collector(facility: Facility, facts: Facts) -> dict[str, Any]:
    mine = chosen_by(facility, COLLECTOR)
    senders = {"key": NAMESPACE, "operator": "In", "values": facility.injected_namespaces}
    ingress: list[dict[str, Any]] = [
        {
            "from": [{"namespaceSelector": {"matchExpressions": [senders]}}],
            "ports": _ports(*OTLP_PORTS),
        }
    ]
    if facility.destinations.metrics.scrape:
        # Which pods are Prometheus nobody says; what they get are numbers.
        anywhere: list[dict[str, Any]] = [{"namespaceSelector": {}}]
        ingress.append({"from": anywhere, "ports": _ports(METRICS_PORT)})
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": mine},
        "policyTypes": ["Ingress"],
        "ingress": ingress,
    }
    isolating = [
        policy
        for policy in facts.network_policies
        if policy["metadata"]["namespace"] == facility.namespace
        and isolates(policy, "Egress")
        and chooses(policy["spec"].get("podSelector"), labels(facility, COLLECTOR))
    ]
    if isolating:
        # Name service, the API and the destinations, which may be outside the cluster.
        spec |= {"policyTypes": ["Ingress", "Egress"], "egress": [{}]}
    return _policy(ours(facility, COLLECTOR, COLLECTOR), spec)


def _egress(facility: Facility, facts: Facts) -> Iterator[dict[str, Any]]:
    rule = {"to": [_collector_peer(facility)], "ports": _ports(*OTLP_PORTS)}
    for policy in facts.network_policies:
        if isolates(policy, "Egress") and not _opens_all(policy, "Egress"):
            spec = {"policyTypes": ["Egress"], "egress": [rule]}
            name = egress_name(facility)
            yield from _beside(facility, policy, name, ("hub", "user", "dask"), spec)


def _scraped(facility: Facility, facts: Facts) -> Iterator[dict[str, Any]]:
    ports = {"hub": {facility.hub.port, HUB_PORT}} if facility.scrape.hub else {}
    if facility.scrape.dask:
        ports["dask"] = {DASK_PORT}
    for policy in facts.network_policies:
        if not isolates(policy, "Ingress") or _opens_all(policy, "Ingress"):
            continue
        for role, numbers in ports.items():
            rule = {"from": [_collector_peer(facility)], "ports": _ports(*sorted(numbers))}
            spec = {"policyTypes": ["Ingress"], "ingress": [rule]}
            name = f"af-otel-{facility.name}-scrape-{role}"
            yield from _beside(facility, policy, name, (role,), spec)


def _beside(
    facility: Facility,
    policy: Mapping[str, Any],
    name: str,
    roles: tuple[str, ...],
    spec: dict[str, Any],
) -> Iterator[dict[str, Any]]:
    """Allow the pods that a policy isolates, as far as they are the facility's, one thing more."""
    origin = policy["metadata"]
    selectors: list[dict[str, Any]] = []
    for some in pods(facility):
        if some.role in roles and some.namespace == origin["namespace"]:
            selector = both(policy["spec"].get("podSelector") or {}, some.selector)
            if selector is not None and selector not in selectors:
                selectors.append(selector)
    for number, selector in enumerate(selectors):
        counted = f"-{number + 1}" if number else ""
        named = f"{name}-{origin['name']}"[: _NAME_LENGTH - len(counted)] + counted
        made = metadata(facility, named, origin["namespace"])
        # Alone, ours would isolate pods that nothing else isolates any more.
        made["ownerReferences"] = [
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "name": origin["name"],
                "uid": origin["uid"],
            }
        ]
        yield _policy(made, {"podSelector": selector, **spec})


def _collector_peer(facility: Facility) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {NAMESPACE: facility.namespace}},
        "podSelector": {"matchLabels": chosen_by(facility, COLLECTOR)},
    }


def _ports(*numbers: int) -> list[dict[str, Any]]:
    return [{"port": number, "protocol": "TCP"} for number in numbers]


def _policy(meta: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta,
        "spec": spec,
    }
