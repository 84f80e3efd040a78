"""What NetworkPolicies say, read: which pods they isolate, and what they let through."""

from __future__ import annotations

import pytest

from af_otel.checks._labels import chooses, text
from af_otel.checks._policies import PRIVATE, Peer, read

COLLECTOR = Peer("af-otel", {"app.kubernetes.io/name": "af-otel-collector"})
USERS = {"component": "singleuser-server"}


def policy(*egress, selector=None, types=("Egress",)):
    spec = {"podSelector": selector or {}, "egress": list(egress), "policyTypes": list(types)}
    return {"metadata": {"name": "theirs"}, "spec": spec}


def allowed(*policies, peer=COLLECTOR, labels=USERS):
    return read(policies, "Egress", labels, peer, 4318, namespace="jhub").allowed


def block(cidr, *but):
    return {"ipBlock": {"cidr": cidr, **({"except": list(but)} if but else {})}}


INTERNET = {"to": [block("0.0.0.0/0", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]}
PRIVATE_RANGES = {"to": [block(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]}


def test_without_a_policy_everything_is_allowed():
    """One that chooses other pods, or is for what comes in, changes nothing."""
    assert allowed()
    assert allowed(policy(selector={"matchLabels": {"component": "hub"}}))
    assert allowed(policy(types=("Ingress",)))


def test_the_default_of_zero_to_jupyterhub_blocks_the_collector():
    """The internet is no way into the cluster; with private addresses allowed it is."""
    assert not allowed(policy(INTERNET))
    assert allowed(policy(INTERNET, PRIVATE_RANGES))
    assert allowed(policy(INTERNET), policy(PRIVATE_RANGES))


def test_one_private_range_is_not_all():
    """Before the Collector is there, nobody knows in which range its address will be."""
    assert not allowed(policy({"to": [block("10.0.0.0/8")]}))
    there = Peer("af-otel", COLLECTOR.labels, addresses=(PRIVATE[0],))
    assert allowed(policy({"to": [block("10.0.0.0/8")]}), peer=there)


@pytest.mark.parametrize(
    ("end", "is_allowed"),
    [
        ({"namespaceSelector": {}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "af-otel"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "other"}}}, False),
        ({"podSelector": {}}, False),  # in the policy's own namespace
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}}, False),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": COLLECTOR.labels}}, True),
    ],
)
def test_ends_by_selector(end, is_allowed):
    """A pod selector alone means this namespace; both together mean both."""
    assert allowed(policy({"to": [end]})) == is_allowed


@pytest.mark.parametrize(
    ("port", "is_allowed"),
    [
        ({"port": 4318}, True),
        ({"port": 4318, "protocol": "UDP"}, False),
        ({"port": 4000, "endPort": 4999}, True),
        ({"port": 53}, False),
        ({"protocol": "TCP"}, True),
        ({"port": "otlp"}, False),
    ],
)
def test_ports(port, is_allowed):
    """One port, a range, or every port of a protocol."""
    assert allowed(policy({"ports": [port]})) == is_allowed


def test_selectors_as_kubernetes_has_them():
    """The four operators, in memory and as a query."""
    selector = {
        "matchLabels": {"a": "1"},
        "matchExpressions": [
            {"key": "b", "operator": "In", "values": ["x", "y"]},
            {"key": "c", "operator": "NotIn", "values": ["z"]},
            {"key": "d", "operator": "Exists"},
            {"key": "e", "operator": "DoesNotExist"},
        ],
    }
    assert chooses(selector, {"a": "1", "b": "y", "d": ""})
    assert not chooses(selector, {"a": "1", "b": "y", "d": "", "e": ""})
    assert not chooses(selector, {"a": "1", "b": "y", "c": "z", "d": ""})
    assert text(selector) == "a=1,b in (x,y),c notin (z),d,!e"
    assert chooses({}, {})
