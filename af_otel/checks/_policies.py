"""What NetworkPolicies allow, as far as reading them tells.

A probe tells what is so; the reading tells why, and which policy to change.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from af_otel.checks._labels import chooses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Direction = Literal["Ingress", "Egress"]
# One address of each private range: a pod's is in one of them, and nobody knows in which yet.
PRIVATE = ("10.0.0.1", "172.16.0.1", "192.168.0.1")


@dataclass(frozen=True)
class Peer:
    """The other end of a connection."""

    namespace: str
    labels: Mapping[str, str]
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    addresses: Sequence[str] = PRIVATE  # any of which it may have

    def lives_in(self) -> Mapping[str, str]:
        """The labels of its namespace; its name is always one of them."""
        return {"kubernetes.io/metadata.name": self.namespace, **self.namespace_labels}


@dataclass(frozen=True)
class Reading:
    """What the policies of a namespace say about one connection."""

    policies: tuple[str, ...]  # that choose the pod; without one everything is allowed
    allowed: bool

    @property
    def isolated(self) -> bool:
        """Whether only what a policy names is allowed."""
        return bool(self.policies)


def read(
    policies: Iterable[Mapping[str, Any]],
    direction: Direction,
    labels: Mapping[str, str],
    peer: Peer,
    port: int,
    *,
    namespace: str,
) -> Reading:
    """What the policies (of `namespace`, where the pod with `labels` is) say about a connection."""
    choosing = [
        policy
        for policy in policies
        if direction in _types(policy["spec"])
        and chooses(policy["spec"].get("podSelector"), labels)
    ]
    rules = [
        rule
        for policy in choosing
        for rule in policy["spec"].get(direction.lower()) or ()
        if _port(rule.get("ports"), port)
    ]
    end = "to" if direction == "Egress" else "from"
    allowed = not choosing or all(
        any(_names(rule.get(end), peer, address, namespace) for rule in rules)
        for address in peer.addresses
    )
    return Reading(tuple(policy["metadata"]["name"] for policy in choosing), allowed)


def _types(spec: Mapping[str, Any]) -> Sequence[str]:
    types: Sequence[str] = spec.get("policyTypes") or ()
    return types or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _port(ports: Sequence[Mapping[str, Any]] | None, port: int) -> bool:
    for each in ports or ({},):
        if each.get("protocol", "TCP") != "TCP":
            continue
        first = each.get("port")
        # A name is the target's; ours have none that others would know.
        if first is None or (
            isinstance(first, int) and first <= port <= each.get("endPort", first)
        ):
            return True
    return False


def _names(
    ends: Sequence[Mapping[str, Any]] | None, peer: Peer, address: str, namespace: str
) -> bool:
    return not ends or any(_is(end, peer, address, namespace) for end in ends)


def _is(end: Mapping[str, Any], peer: Peer, address: str, namespace: str) -> bool:
    if block := end.get("ipBlock"):
        return _within(address, block)
    if "namespaceSelector" in end:
        if not chooses(end["namespaceSelector"], peer.lives_in()):
            return False
    elif peer.namespace != namespace:
        return False
    return chooses(end.get("podSelector"), peer.labels)


def _within(address: str, block: Mapping[str, Any]) -> bool:
    ip = ipaddress.ip_address(address)
    try:
        return ip in ipaddress.ip_network(block.get("cidr", ""), strict=False) and not any(
            ip in ipaddress.ip_network(but, strict=False) for but in block.get("except") or ()
        )
    except ValueError:  # no network, which no cluster would take
        return False
