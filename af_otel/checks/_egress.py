"""The way from pods to the Collector: where it ends, what is tried on it, what opens it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel.checks import _listener
from af_otel.checks._labels import chooses
from af_otel.checks._policies import Peer
from af_otel.checks.finding import NotChecked
from af_otel.errors import AfOtelError
from af_otel.kubernetes.objects._labels import COLLECTOR, chosen_by
from af_otel.kubernetes.pods import is_ready
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from af_otel.checks._probe import Probes
    from af_otel.checks._templates import Template
    from af_otel.checks.context import Context

PORT = 4318
_ADOPTERS = (
    ("ReplicaSet", "apps/v1"),
    ("StatefulSet", "apps/v1"),
    ("DaemonSet", "apps/v1"),
    ("ReplicationController", "v1"),
)


@dataclass(frozen=True)
class Target:
    """What a probe connects to."""

    address: str = ""
    ip: str = ""  # of that name, for a pod that cannot look it up
    peer: Peer | None = None
    installed: bool = False  # the Collector itself; else a listener of ours in its place
    why_not: str = ""
    hint: str = ""  # what would help

    @property
    def named(self) -> str:
        """In words."""
        what = "the Collector" if self.installed else "a listener in the Collector's place"
        return f"{what}, `{self.address}`"


def target(context: Context) -> Target:
    """The Collector if it serves, else a listener that is like it."""
    return context.once("target", lambda: _target(context))


def _target(context: Context) -> Target:
    facility = context.facility
    peer = collector(context)
    try:
        there = context.objects.list(
            "Pod", "v1", facility.namespace, {"matchLabels": chosen_by(facility, COLLECTOR)}
        )
        if any(is_ready(each) for each in there):
            service = context.objects.get(Ref("v1", "Service", COLLECTOR, facility.namespace))
            ip = (service or {}).get("spec", {}).get("clusterIP", "")
            host = f"{COLLECTOR}.{facility.namespace}.svc"
            return Target(f"{host}:{PORT}", "" if ip == "None" else ip, peer, installed=True)
        listener = _listener.started(context)
    except AfOtelError as error:
        return Target(why_not=error.what, hint=error.hint)
    except NotChecked as error:
        return Target(why_not=error.why, hint=error.hint)
    peer = Peer(listener.namespace, listener.labels, addresses=(listener.address,))
    return Target(f"{listener.address}:{PORT}", peer=peer)


def collector(context: Context) -> Peer:
    """The Collector's pods, as policies see them."""
    facility = context.facility
    labels = context.labels_of(facility.namespace)
    return Peer(facility.namespace, chosen_by(facility, COLLECTOR), labels)


def refuse_adoption(context: Context, template: Template) -> None:
    """A controller takes every pod with its labels for its own, and removes one too many."""
    for kind, version in _ADOPTERS:
        for each in context.objects.list(kind, version, template.place.namespace):
            selector = each["spec"].get("selector") or {}
            if kind == "ReplicationController":
                selector = {"matchLabels": selector}
            if chooses(selector, template.labels):
                name = each["metadata"]["name"]
                raise AfOtelError(
                    f"{kind} `{name}` would take a probe pod for its own",
                    where=f"its selector, in `{template.place.namespace}`",
                )


def open_a_way(probes: Probes, template: Template, name: str, target: Target) -> None:
    """Allow what `install` would, for this one probe, to see whether that helps."""
    if target.peer is None:
        return
    mine = {"matchLabels": {"af-otel.io/probe-name": name}}
    peer = {
        "namespaceSelector": {
            "matchLabels": {"kubernetes.io/metadata.name": target.peer.namespace}
        },
        "podSelector": {"matchLabels": dict(target.peer.labels)},
    }
    ports = [{"port": PORT, "protocol": "TCP"}]
    rule = [{"to": [peer], "ports": ports}]
    probes.apply(_policy(probes, template.place.namespace, mine, "Egress", {"egress": rule}))


def _policy(
    probes: Probes, namespace: str, chosen: dict[str, Any], kind: str, rules: dict[str, Any]
) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": probes.name(kind.lower()),
            "namespace": namespace,
            "labels": probes.labels(),
        },
        "spec": {"podSelector": chosen, "policyTypes": [kind], **rules},
    }
