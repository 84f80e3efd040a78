"""Enforce NetworkPolicies, which the bridge between the pods does not know of.

    python policies.py KUBECONFIG

Every pod that a policy selects gets a chain for each direction, made anew whenever anything has
changed: it returns what some rule allows, and drops the rest. What the node itself sends to its
pods passes, as the probes of the kubelet must.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import kubernetes
import urllib3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHAIN = "AF-POLICIES"
SETTLE = 0.2  # seconds; what changes comes in bursts
EVERYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Pod:
    """What policies see of a pod."""

    namespace: str
    labels: dict[str, str]
    address: str
    ports: dict[str, int]  # by name


@dataclass(frozen=True)
class World:
    """Everything that decides who may talk to whom."""

    pods: list[Pod]
    namespaces: dict[str, dict[str, str]]
    policies: list[dict[str, Any]]


def rules(world: World) -> str:
    """All of it, as `iptables-restore` takes it."""
    chains: dict[str, list[str]] = {}
    first = ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"]
    for pod in world.pods:
        for direction, flag in (("Egress", "-s"), ("Ingress", "-d")):
            applying = [one for one in world.policies if _applies(one, pod, direction)]
            if applying:
                name = f"AF-{direction[0]}-{pod.address}"
                allowed = [
                    f"{match} -j RETURN"
                    for policy in applying
                    for match in _matches(world, policy, pod, direction)
                ]
                chains[name] = [*dict.fromkeys(allowed), "-j DROP"]
                first.append(f"{flag} {pod.address} -j {name}")
    chains[CHAIN] = first
    lines = ["*filter", *(f":{name} - [0:0]" for name in chains)]
    lines += [f"-A {name} {rule}" for name, content in chains.items() for rule in content]
    return "\n".join([*lines, "COMMIT", ""])


def _applies(policy: dict[str, Any], pod: Pod, direction: str) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    return (
        policy["metadata"]["namespace"] == pod.namespace
        and direction in types
        and _selects(spec.get("podSelector") or {}, pod.labels)
    )


def _matches(world: World, policy: dict[str, Any], pod: Pod, direction: str) -> Iterator[str]:
    """What the rules of a policy allow this pod, as conditions on a packet."""
    egress = direction == "Egress"
    flag, peers = ("-d", "to") if egress else ("-s", "from")
    for rule in policy["spec"].get(direction.lower()) or ():
        for network, there in _peers(world, policy, rule.get(peers)):
            for ports in _ports(rule.get("ports"), there if egress else pod):
                yield f"{flag} {network} {ports}".strip()


def _peers(
    world: World, policy: dict[str, Any], peers: list[dict[str, Any]] | None
) -> Iterator[tuple[str, Pod | None]]:
    """Addresses, and which pod has each; None if it is a network."""
    if not peers:
        yield EVERYWHERE, None
    for peer in peers or ():
        if "ipBlock" in peer:
            for network in _block(**peer["ipBlock"]):
                yield str(network), None
            continue
        for pod in world.pods:
            if "namespaceSelector" in peer:
                labels = world.namespaces.get(pod.namespace, {})
                near = _selects(peer["namespaceSelector"] or {}, labels)
            else:
                near = pod.namespace == policy["metadata"]["namespace"]
            if near and _selects(peer.get("podSelector") or {}, pod.labels):
                yield pod.address, pod


def _block(cidr: str, **others: list[str]) -> list[ipaddress.IPv4Network]:
    found = [ipaddress.ip_network(cidr)]
    if found[0].version != 4:
        return []
    for one in others.get("except") or ():
        hole = ipaddress.ip_network(one)
        found = [
            part
            for network in found
            for part in (network.address_exclude(hole) if hole.subnet_of(network) else [network])
        ]
    return found


def _ports(ports: list[dict[str, Any]] | None, server: Pod | None) -> Iterator[str]:
    """Conditions for the ports of a rule; one with a name is looked up at the pod that serves."""
    if not ports:
        yield ""
    for port in ports or ():
        protocol = port.get("protocol", "TCP").lower()
        number = port.get("port")
        if isinstance(number, str):
            number = server.ports.get(number) if server else None
            if number is None:
                continue
        if number is None:
            yield f"-p {protocol}"
        else:
            yield f"-p {protocol} -m {protocol} --dport {number}:{port.get('endPort', number)}"


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _holds(one, labels) for one in selector.get("matchExpressions") or ()
    )


def _holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    value = labels.get(expression["key"])
    return {
        "In": value in (expression.get("values") or ()),
        "NotIn": value not in (expression.get("values") or ()),  # codespell:ignore
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[expression["operator"]]


def read(client: kubernetes.client.ApiClient) -> World:
    """The world as the API tells it now."""
    core = kubernetes.client.CoreV1Api(client)
    networking = kubernetes.client.NetworkingV1Api(client)

    def plain(listed: Callable[..., Any]) -> list[dict[str, Any]]:
        # As it comes: objects of the client's classes take ten times as long to make.
        return list(json.loads(listed(_preload_content=False).data)["items"])

    pods = [
        Pod(
            pod["metadata"]["namespace"],
            pod["metadata"].get("labels") or {},
            pod["status"]["podIP"],
            {
                port["name"]: port["containerPort"]
                for container in pod["spec"]["containers"]
                for port in container.get("ports") or ()
                if "name" in port
            },
        )
        for pod in plain(core.list_pod_for_all_namespaces)
        if pod["status"].get("podIP")
        and not pod["spec"].get("hostNetwork")
        and pod["status"].get("phase") in {"Pending", "Running"}
    ]
    namespaces = {
        one["metadata"]["name"]: one["metadata"].get("labels") or {}
        for one in plain(core.list_namespace)
    }
    return World(pods, namespaces, plain(networking.list_network_policy_for_all_namespaces))


def watch(listed: Callable[..., Any], changed: threading.Event) -> None:
    while True:  # an API that is away comes back
        with contextlib.suppress(
            kubernetes.client.ApiException, urllib3.exceptions.HTTPError, OSError
        ):
            for _ in listed(watch=True, _preload_content=False).stream():
                changed.set()
        time.sleep(1)


def main() -> None:
    kubernetes.config.load_kube_config(sys.argv[1])
    client = kubernetes.client.ApiClient()
    core = kubernetes.client.CoreV1Api(client)
    networking = kubernetes.client.NetworkingV1Api(client)
    changed = threading.Event()
    for listed in (
        core.list_pod_for_all_namespaces,
        core.list_namespace,
        networking.list_network_policy_for_all_namespaces,
    ):
        threading.Thread(target=watch, args=(listed, changed), daemon=True).start()
    enforced = ""
    while changed.wait():
        time.sleep(SETTLE)
        changed.clear()
        with contextlib.suppress(
            kubernetes.client.ApiException, urllib3.exceptions.HTTPError, OSError
        ):
            wanted = rules(read(client))
            if wanted != enforced:
                enforce(wanted, enforced)
                enforced = wanted


def enforce(wanted: str, before: str) -> None:
    """Put the new chains in the place of the old ones at once; then remove what nothing names."""
    subprocess.run(["iptables-restore", "--wait", "--noflush"], input=wanted, text=True, check=True)
    for hook in ("FORWARD", "INPUT"):
        there = subprocess.run(
            ["iptables", "--wait", "-C", hook, "-j", CHAIN], capture_output=True, check=False
        )
        if there.returncode != 0:
            subprocess.run(["iptables", "--wait", "-I", hook, "-j", CHAIN], check=True)
    for chain in chains(before) - chains(wanted):
        for action in ("-F", "-X"):
            subprocess.run(["iptables", "--wait", action, chain], check=True)


def chains(text: str) -> set[str]:
    return {line.split()[0][1:] for line in text.splitlines() if line.startswith(":")}


if __name__ == "__main__":
    main()
