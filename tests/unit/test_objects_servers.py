"""The Collector and our backends as pods: hardened, bounded, and made anew when they change."""

from __future__ import annotations

import re

import pytest
from inline_snapshot import snapshot
from rendered import HUB, a_facility, needs_dashboards, pods, rendered, with_backends

from af_otel.kubernetes.objects import notes, render
from af_otel.kubernetes.objects.facts import Facts, namespaces

SERVERS = ["af-otel-jaeger", "af-otel-prometheus", "af-otel-collector", "af-otel-grafana"]
ALL = {
    "jaeger": True,
    "prometheus": True,
    "grafana": True,
    "images": {"grafana": "registry.example.org/grafana:12.4.0"},
}


def with_servers(**sections):
    """A facility with every server that af-otel can deploy."""
    return with_backends(**{"backends": ALL} | sections)


@needs_dashboards
def test_an_install_is_these_objects():
    """By kind and name: what is not here is not done to a cluster."""
    found = list(rendered(a_facility(), storage=True, version=(1, 37)))
    assert [re.sub("payload-[0-9a-f]{12}$", "payload-HASH", key) for key in found] == snapshot(
        [
            "Namespace af-otel",
            "ServiceAccount af-otel-collector",
            "Role jhub/af-otel-collector-casa",
            "RoleBinding jhub/af-otel-collector-casa",
            "Role dask/af-otel-collector-casa",
            "RoleBinding dask/af-otel-collector-casa",
            "ClusterRole af-otel-collector-casa",
            "ClusterRoleBinding af-otel-collector-casa",
            "NetworkPolicy af-otel-collector",
            "ConfigMap af-otel-collector",
            "PersistentVolumeClaim af-otel-collector",
            "Service af-otel-collector",
            "Deployment af-otel-collector",
            "ConfigMap af-otel-casa-data-sources",
            "ConfigMap af-otel-casa-overview",
            "ConfigMap af-otel-casa-sessions",
            "ConfigMap af-otel-casa-spawn",
            "ConfigMap af-otel-casa-kernels",
            "ConfigMap af-otel-casa-dask",
            "ConfigMap af-otel-casa-users",
            "ConfigMap af-otel-casa-http",
            "ConfigMap af-otel-casa-kubernetes",
            "ConfigMap af-otel-casa-telemetry",
            "ConfigMap jhub/af-otel-casa-payload-HASH",
            "ConfigMap dask/af-otel-casa-payload-HASH",
            "ValidatingAdmissionPolicy af-otel-casa-identity",
            "ValidatingAdmissionPolicyBinding af-otel-casa-identity",
            "MutatingAdmissionPolicy af-otel-casa",
            "MutatingAdmissionPolicyBinding af-otel-casa",
        ]
    )


def test_objects_of_all_kinds_say_whose_they_are():
    """An uninstall, and an operator, tell ours by these labels."""
    for item in rendered(with_servers(), storage=True).values():
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "af-otel"
        assert labels["app.kubernetes.io/part-of"] == "af-otel"
        assert labels["af-otel.io/facility"] == "casa"


def test_the_same_facts_give_the_same_objects():
    """Else every plan would be full of changes."""
    facts = Facts(storage=True)
    assert render(with_servers(), facts) == render(with_servers(), facts)


def test_what_others_need_comes_first():
    """A pod finds its account, files and volume; the policy is last of all."""
    order = list(rendered(with_servers(), storage=True, version=(1, 37)))
    assert order[0] == "Namespace af-otel"
    for needed in ("ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "NetworkPolicy"):
        first = order.index(f"{needed} af-otel-collector")
        assert first < order.index("Deployment af-otel-collector")
    assert [key.split()[0] for key in order[-2:]] == [
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
    ]


def test_a_namespace_that_is_there_is_left_alone():
    """One that we make holds all its pods to the strictest level."""
    made = rendered()["Namespace af-otel"]
    assert made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not any(key.startswith("Namespace") for key in rendered(namespace_exists=True))


@pytest.mark.parametrize("name", SERVERS)
def test_a_pod_asks_for_nothing_that_restricted_forbids(name):
    """And for a read-only root and a bound on memory, which it does not even ask for."""
    spec = pods(with_servers())[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert container["resources"]["limits"]["memory"]
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    # Only who talks to the API is told who it is.
    assert spec["automountServiceAccountToken"] is (name == "af-otel-collector")


@pytest.mark.parametrize("name", SERVERS)
def test_every_name_that_a_pod_and_a_service_use_is_there(name):
    """Ports of probes and Services, volumes and files are those of the pod."""
    found = rendered(with_servers(), storage=True)
    template = found[f"Deployment {name}"]["spec"]["template"]
    containers = template["spec"]["containers"]
    ports = [port["name"] for container in containers for port in container["ports"]]
    assert len(set(ports)) == len(ports)
    service = found[f"Service {name}"]["spec"]
    assert {port["targetPort"] for port in service["ports"]} <= set(ports)
    assert service["selector"].items() <= template["metadata"]["labels"].items()
    for container in containers:
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            ((how, asked),) = (
                (key, value)
                for key, value in container[probe].items()
                if key in {"httpGet", "tcpSocket"}
            )
            assert asked["port"] in {port["name"] for port in container["ports"]}, how
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    mounts = {mount["name"] for container in containers for mount in container["volumeMounts"]}
    assert set(volumes) == mounts
    files = found[f"ConfigMap {name}"]["data"]
    assert {item["key"] for item in volumes["config"]["configMap"]["items"]} == set(files)
    assert f"PersistentVolumeClaim {name}" in found


def test_without_a_storage_class_the_queue_is_in_the_pod_and_that_is_said():
    """Bounded, so that it does not fill the node."""
    found = rendered(with_servers())
    assert not any(key.startswith("PersistentVolumeClaim") for key in found)
    for name in SERVERS:
        data = found[f"Deployment {name}"]["spec"]["template"]["spec"]["volumes"][0]
        assert data["emptyDir"]["sizeLimit"]
    (said, *_) = notes(with_servers(), Facts(hub=HUB))
    assert said == snapshot(
        "The cluster has no default storage class, so these are lost with their pod: "
        "the Collector's queue, the data of Jaeger, the data of Prometheus, the data of Grafana"
    )
    assert not any("storage" in note for note in notes(with_servers(), Facts(storage=True)))


def test_a_claim_is_as_the_facility_wants_it():
    """Of its class and size, or of the cluster's default class."""
    wanted = a_facility(collector={"storage": {"size": "7Gi", "class": "fast"}})
    claim = rendered(wanted, storage=True)["PersistentVolumeClaim af-otel-collector"]["spec"]
    assert claim["storageClassName"] == "fast"
    assert claim["resources"] == {"requests": {"storage": "7Gi"}}
    default = rendered(storage=True)["PersistentVolumeClaim af-otel-collector"]["spec"]
    assert "storageClassName" not in default


def test_all_pods_of_ours_go_where_the_facility_says():
    """With the images of its mirror, its pull secrets, and past its taints."""
    digest = f"registry.example/otel@sha256:{'0' * 64}"
    toleration = {"key": "dedicated", "value": "core", "effect": "NoSchedule"}
    facility = with_servers(
        collector={
            "image": digest,
            "pull_policy": "Always",
            "pull_secrets": ["mirror"],
            "node_selector": {"pool": "core"},
            "tolerations": [toleration],
        }
    )
    for name, template in pods(facility).items():
        spec = template["spec"]
        assert spec["imagePullSecrets"] == [{"name": "mirror"}], name
        assert spec["nodeSelector"] == {"pool": "core"}
        assert spec["tolerations"] == [{"operator": "Equal", **toleration}]
        assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert pods(facility)["af-otel-collector"]["spec"]["containers"][0]["image"] == digest


def test_one_pod_at_a_time_has_the_volume():
    """A second one would wait for it for ever."""
    for item in rendered(with_servers()).values():
        if item["kind"] == "Deployment":
            assert (item["spec"]["replicas"], item["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_our_backends_are_reached_by_ours_only():
    """They do not authenticate clients; a Grafana elsewhere is let in from its namespace."""
    (rule,) = rendered(with_servers())["NetworkPolicy af-otel-jaeger"]["spec"]["ingress"]
    senders = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in rule["from"]
    ]
    assert senders == ["af-otel-collector", "af-otel-grafana"]
    theirs = a_facility(
        destinations={},
        backends={"jaeger": True, "prometheus": True},
        grafana={"namespace": "monitoring"},
    )
    (rule,) = rendered(theirs)["NetworkPolicy af-otel-jaeger"]["spec"]["ingress"]
    assert rule["from"][2] == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    }


def test_backends_keep_less_than_their_volume_holds():
    """Prometheus has a limit; both listen on the pod's address rather than on loopback."""
    found = rendered(with_backends(backends={"jaeger": True, "prometheus": True, "size": "5Gi"}))
    (prometheus,) = found["Deployment af-otel-prometheus"]["spec"]["template"]["spec"]["containers"]
    assert "--storage.tsdb.retention.size=4096MB" in prometheus["args"]
    (jaeger,) = found["Deployment af-otel-jaeger"]["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item["value"] for item in jaeger["env"]}
    assert env["AF_OTEL_JAEGER_HTTP"] == "0.0.0.0:16686"
    assert env["AF_OTEL_JAEGER_OTLP_HTTP"] == "0.0.0.0:4318"


def test_jaeger_keeps_its_traces_on_its_volume_for_as_long_as_the_facility_says():
    """Its configuration has variables for the directory and the retention, and both are set."""
    found = rendered(
        with_backends(backends={"jaeger": True, "prometheus": True, "retention": "48h"})
    )
    (jaeger,) = found["Deployment af-otel-jaeger"]["spec"]["template"]["spec"]["containers"]
    env = {item["name"]: item["value"] for item in jaeger["env"]}
    assert env["AF_OTEL_JAEGER_RETENTION"] == "48h"
    mounts = {mount["name"]: mount["mountPath"] for mount in jaeger["volumeMounts"]}
    assert mounts["data"] == env["AF_OTEL_JAEGER_DATA"]
    config = found["ConfigMap af-otel-jaeger"]["data"]["jaeger.yaml"]
    variables = set(re.findall(r"\$\{env:(AF_OTEL_JAEGER_\w+)", config))
    assert {"AF_OTEL_JAEGER_DATA", "AF_OTEL_JAEGER_RETENTION"} <= variables
    assert env.keys() >= variables - optional(config)


def optional(config):
    """The variables of a configuration that have a default."""
    return set(re.findall(r"\$\{env:(\w+):-", config))


def test_the_namespaces_that_matter_are_each_named_once():
    """Those with injected pods, and the Collector's own."""
    assert namespaces(a_facility()) == ["jhub", "dask", "af-otel"]
    assert namespaces(a_facility(namespace="jhub")) == ["jhub", "dask"]


def test_a_claim_that_exists_is_used_though_no_class_is_the_default():
    """Of the others, the data are said to be lost with their pod."""
    facility, facts = with_servers(), Facts(claims=frozenset({"af-otel-jaeger"}))
    found = rendered(facility, claims=facts.claims)
    assert {key for key in found if key.startswith("PersistentVolumeClaim")} == {
        "PersistentVolumeClaim af-otel-jaeger"
    }
    volumes = found["Deployment af-otel-jaeger"]["spec"]["template"]["spec"]["volumes"]
    assert volumes[0]["persistentVolumeClaim"] == {"claimName": "af-otel-jaeger"}
    (said,) = (note for note in notes(facility, facts) if "lost with their pod" in note)
    assert "the Collector's queue" in said
    assert "Jaeger" not in said
