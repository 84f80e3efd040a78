"""The Collector's pod: its memory, its Secrets, whom it believes, what it may read."""

from __future__ import annotations

import pytest
from inline_snapshot import snapshot
from rendered import PROMETHEUS, TEMPO, a_facility, pods, rendered

from af_otel.collector import config


def test_memory_is_refused_before_it_is_collected_and_before_it_is_out():
    """Over 60 % the Collector refuses, at 80 % Go and it clear up, at 100 % the kernel would."""
    resources = {"limits": {"memory": "2Gi"}}
    facility = a_facility(collector={"resources": resources})
    container = pods(facility)["af-otel-collector"]["spec"]["containers"][0]
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert container["resources"]["limits"] == {"memory": "2Gi"}
    assert (
        env["AF_OTEL_MEMORY_LIMIT_MIB"],
        env["AF_OTEL_MEMORY_SPIKE_MIB"],
        env["GOMEMLIMIT"],
    ) == ("1638", "409", "1638MiB")


def test_credentials_are_mounted_and_never_copied():
    """The objects name Secrets; what is in them is the kubelet's business."""
    auth = {"basic": {"secret": "login"}}
    header = {"X-Token": {"secret": "tenant", "key": "token"}}
    store = {
        **TEMPO["tempo"],
        "endpoint": "https://tempo",
        "auth": auth,
        "headers": header,
        "tls": {"ca": {"config_map": "authority"}},
    }
    destinations = {"traces": {"tempo": store}, "metrics": PROMETHEUS}
    spec = pods(a_facility(destinations=destinations))["af-otel-collector"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes["traces-auth"]["secret"]["secretName"] == "login"
    assert volumes["traces-ca"]["configMap"]["name"] == "authority"
    container = spec["containers"][0]
    read_only = {mount["name"] for mount in container["volumeMounts"] if mount.get("readOnly")}
    assert read_only == {"config", "traces-auth", "traces-ca"}
    (variable,) = (item for item in container["env"] if "secretKeyRef" in item.get("valueFrom", {}))
    assert variable["valueFrom"] == {"secretKeyRef": {"name": "tenant", "key": "token"}}


@pytest.mark.parametrize(
    ("hub", "users", "told"),
    [
        ({"component": "hub"}, {"component": "singleuser-server"}, ("component", "hub")),
        (
            {"app": "jupyterhub", "component": "hub", "release": "x"},
            {"app": "jupyterhub", "component": "singleuser-server"},
            ("component", "hub"),
        ),
        (
            {"app.kubernetes.io/component": "hub", "app": "jupyterhub"},
            {"user": "x"},
            ("app.kubernetes.io/component", "hub"),
        ),
        ({"component": ["hub", "hub-2"]}, {"user": "x"}, ("component", "hub")),
    ],
)
def test_the_label_that_makes_a_pod_the_hub_is_one_that_users_pods_lack(hub, users, told):
    """The hub is believed what it says about users; a user's pod with `app: jupyterhub` is not."""
    facility = a_facility(hub={"namespace": "jhub", "selector": hub}, users={"selector": users})
    container = pods(facility)["af-otel-collector"]["spec"]["containers"][0]
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert (env["AF_OTEL_HUB_LABEL"], env["AF_OTEL_HUB_LABEL_VALUE"]) == told


def test_a_change_of_the_facility_makes_a_new_pod():
    """And nothing else does: the same facility again changes nothing."""
    before, again = (pods(a_facility())["af-otel-collector"] for _ in range(2))
    asked = pods(a_facility(sampling={"share": 0.5}))["af-otel-collector"]
    configured = pods(a_facility(limits={"series": 5000}))["af-otel-collector"]
    assert before == again
    assert before != asked != configured != before


def test_the_collector_may_read_pods_where_it_injects_and_nodes_where_it_measures():
    """Nothing else, and of no other namespace."""
    found = rendered()
    rules = {
        key: [(rule["resources"], rule["verbs"]) for rule in item["rules"]]
        for key, item in found.items()
        if "rules" in item
    }
    assert rules == snapshot(
        {
            "Role jhub/af-otel-collector-casa": [(["pods"], ["get", "list", "watch"])],
            "Role dask/af-otel-collector-casa": [(["pods"], ["get", "list", "watch"])],
            "ClusterRole af-otel-collector-casa": [
                (["nodes"], ["get", "list", "watch"]),
                (["nodes/metrics"], ["get"]),
            ],
        }
    )
    off = rendered(a_facility(scrape={"nodes": False}))
    assert not any(key.startswith("Cluster") for key in off)
    for key, item in found.items():
        if key.split()[0].endswith("RoleBinding"):
            assert item["subjects"] == [
                {"kind": "ServiceAccount", "name": "af-otel-collector", "namespace": "af-otel"}
            ]


def test_nginx_takes_what_pods_send_and_says_which_pod_sent_it():
    """The Collector's receivers listen where nginx.conf looks for them, and nowhere else."""
    nginx = pods(a_facility())["af-otel-collector"]["spec"]["containers"][1]
    assert {port["containerPort"] for port in nginx["ports"]} == {4317, 4318}
    text = config.nginx()
    for name in ("AF_OTEL_OTLP_HTTP", "AF_OTEL_OTLP_GRPC"):
        assert f"server {collector_env(a_facility())[name]};" in text
    assert collector_env(a_facility())["AF_OTEL_SENDER"] == "metadata.x-real-ip"


def test_without_limits_the_collector_is_alone_in_its_pod():
    """Then the sender is the other end of the connection, as no header may say otherwise."""
    facility = a_facility(collector={"sender_limits": {"enabled": False}})
    (container,) = pods(facility)["af-otel-collector"]["spec"]["containers"]
    assert {4317, 4318} <= {port["containerPort"] for port in container["ports"]}
    assert not {"AF_OTEL_SENDER", "AF_OTEL_OTLP_HTTP"} & set(collector_env(facility))


def collector_env(facility):
    container = pods(facility)["af-otel-collector"]["spec"]["containers"][0]
    return {item["name"]: item.get("value") for item in container["env"]}
