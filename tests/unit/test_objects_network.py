"""NetworkPolicies: pods that are shut in get a way to the Collector, and no pod is shut in."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot
from rendered import TEMPO, a_facility, network_policy, rendered

from af_otel.kubernetes.objects._labels import both

USERS = {"component": "singleuser-server"}
# As z2jh has it: any public address, and the name service.
CLOSED = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}]


def ways(*policies, facility=None):
    """The NetworkPolicies that are there because of others."""
    found = rendered(facility, network_policies=policies)
    return {
        key: item
        for key, item in found.items()
        if item["kind"] == "NetworkPolicy" and "ownerReferences" in item["metadata"]
    }


def test_pods_that_nothing_isolates_get_no_policy():
    """The first policy for a pod takes all else away from it."""
    ingress = network_policy("singleuser", USERS, policyTypes=["Ingress"], ingress=[{}])
    implied = network_policy("implied", USERS, ingress=[{}])
    assert ways() == ways(ingress, implied) == {}


def test_isolated_pods_may_reach_the_collector_as_long_as_they_are_isolated():
    """Ours selects the same pods and goes with theirs: alone it would cut these pods off."""
    theirs = network_policy("singleuser", USERS, policyTypes=["Egress"], egress=CLOSED)
    made = ways(theirs)
    assert list(made) == ["NetworkPolicy jhub/af-otel-casa-egress-singleuser"]
    policy = made["NetworkPolicy jhub/af-otel-casa-egress-singleuser"]
    assert policy["metadata"]["ownerReferences"] == snapshot(
        [
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "name": "singleuser",
                "uid": "uid-of-singleuser",
            }
        ]
    )
    assert policy["spec"] == snapshot(
        {
            "podSelector": {"matchLabels": {"component": "singleuser-server"}},
            "policyTypes": ["Egress"],
            "egress": [
                {
                    "to": [
                        {
                            "namespaceSelector": {
                                "matchLabels": {"kubernetes.io/metadata.name": "af-otel"}
                            },
                            "podSelector": {
                                "matchLabels": {
                                    "app.kubernetes.io/name": "af-otel-collector",
                                    "af-otel.io/facility": "casa",
                                }
                            },
                        }
                    ],
                    "ports": [
                        {"port": 4317, "protocol": "TCP"},
                        {"port": 4318, "protocol": "TCP"},
                    ],
                }
            ],
        }
    )


def test_a_policy_for_a_few_opens_the_way_for_these_few():
    """Of the users' pods, those that are not isolated stay as free as they are."""
    theirs = network_policy("guests", {"tier": "guest"}, policyTypes=["Egress"])
    made = ways(theirs)
    selectors = [item["podSelector"]["matchLabels"] for item in (p["spec"] for p in made.values())]
    # Guests may be users' pods as well as the hub's, as far as anybody can tell.
    assert selectors == [
        {"tier": "guest", "component": "hub"},
        {"tier": "guest", "component": "singleuser-server"},
    ]


def test_a_default_deny_opens_the_way_for_the_facilitys_pods_only():
    """Every kind of its pods in that namespace, and none of its neighbours."""
    deny = network_policy("deny", {}, namespace="dask", policyTypes=["Ingress", "Egress"])
    made = ways(deny)
    assert {key: item["spec"]["podSelector"] for key, item in made.items()} == snapshot(
        {
            "NetworkPolicy dask/af-otel-casa-egress-deny": {
                "matchExpressions": [
                    {"key": "app", "operator": "In", "values": ["dask-scheduler", "dask-worker"]}
                ]
            },
            "NetworkPolicy dask/af-otel-casa-scrape-dask-deny": {
                "matchExpressions": [
                    {"key": "app", "operator": "In", "values": ["dask-scheduler", "dask-worker"]}
                ]
            },
        }
    )


def test_facilities_may_share_a_namespace():
    """Two hubs, or one Dask for both: what each has outside its own is called by its name."""
    shared = network_policy("deny", {}, policyTypes=["Ingress", "Egress"])
    scrape = {"scrape": "service_monitor", "monitor": {"namespace": "monitoring"}}
    elsewhere = [
        {
            key
            for key in rendered(
                a_facility(name=name, destinations={"traces": TEMPO, "metrics": scrape}),
                network_policies=(shared,),
                monitors=frozenset({"ServiceMonitor"}),
            )
            if "/" in key or key.startswith(("Cluster", "Mutating"))
        }
        for name in ("casa", "lab")
    ]
    assert len(elsewhere[0]) == len(elsewhere[1]) > 0
    assert not elsewhere[0] & elsewhere[1]


def test_who_may_go_anywhere_needs_no_way():
    """A rule without bounds; all addresses are not enough, as pods may not count as addresses."""
    free = network_policy("free", USERS, policyTypes=["Egress"], egress=[{}])
    addresses = [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]
    all_addresses = network_policy("all", USERS, policyTypes=["Egress"], egress=addresses)
    assert list(ways(free, all_addresses)) == ["NetworkPolicy jhub/af-otel-casa-egress-all"]


def test_the_collector_may_scrape_a_hub_that_is_closed():
    """On the port of its API, for as long as it is closed; not where scraping is off."""
    theirs = network_policy("hub", {"component": "hub"}, policyTypes=["Ingress"], ingress=[])
    (policy,) = ways(theirs).values()
    assert policy["metadata"]["name"] == "af-otel-casa-scrape-hub-hub"
    (rule,) = policy["spec"]["ingress"]
    assert [port["port"] for port in rule["ports"]] == [8081]
    off = a_facility(scrape={"hub": False})
    assert ways(theirs, facility=off) == {}


def test_the_collector_takes_telemetry_from_the_facilitys_namespaces_only():
    """And is not isolated itself, unless its namespace does that already."""
    policy = rendered()["NetworkPolicy af-otel-collector"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    (rule,) = policy["ingress"]
    assert rule["from"][0]["namespaceSelector"]["matchExpressions"][0]["values"] == ["jhub", "dask"]

    others = network_policy("hub", {"app": "hub"}, namespace="af-otel", policyTypes=["Egress"])
    policy = rendered(network_policies=(others,))["NetworkPolicy af-otel-collector"]["spec"]
    assert policy["policyTypes"] == ["Ingress"]

    deny = network_policy("deny", {}, namespace="af-otel", policyTypes=["Egress"])
    policy = rendered(network_policies=(deny,))["NetworkPolicy af-otel-collector"]["spec"]
    assert (policy["policyTypes"], policy["egress"]) == (["Ingress", "Egress"], [{}])


def test_metrics_are_open_to_the_cluster_where_they_are_scraped():
    """Nobody says which pods Prometheus runs in."""
    scraped = a_facility(
        destinations={
            "traces": {"endpoint": "http://tempo:4318"},
            "metrics": {"scrape": "annotations"},
        }
    )
    policy = rendered(scraped)["NetworkPolicy af-otel-collector"]["spec"]
    assert policy["ingress"][1] == snapshot(
        {
            "from": [{"namespaceSelector": {}}],
            "ports": [{"port": 8889, "protocol": "TCP"}],
        }
    )


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ({}, {"matchLabels": {"a": "1"}}, {"matchLabels": {"a": "1"}}),
        ({"matchLabels": {"a": "1"}}, {"matchLabels": {"a": "2"}}, None),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]},
            {"matchLabels": {"a": "3"}},
            None,
        ),
        (
            {"matchLabels": {"app": "jupyterhub", "component": "proxy"}},
            {
                "matchExpressions": [
                    {
                        "key": "app.kubernetes.io/component",
                        "operator": "In",
                        "values": ["dask-scheduler", "dask-worker"],
                    }
                ]
            },
            None,
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
            {"matchLabels": {"a": "3"}},
            {
                "matchLabels": {"a": "3"},
                "matchExpressions": [{"key": "a", "operator": "Exists"}],
            },
        ),
    ],
)
def test_two_selectors_choose_what_both_do(first, second, chosen):
    """Or nothing, where a pod cannot have the labels of both."""
    assert both(first, second) == chosen
