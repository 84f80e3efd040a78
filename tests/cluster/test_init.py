"""`af-otel init` on a real API: what is there is written down, and nothing else happens."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import kubernetes
import pytest
import yaml

from af_otel.facility import FacilityInvalid, read
from servers import wait_for

AF_OTEL = Path(sys.executable).with_name("af-otel")
RIGHTS = [
    {"apiGroups": ["", "apps"], "resources": ["pods", "services", "deployments"], "verbs": ["list"]}
]


def init(cluster, *options, cwd, kubeconfig=None):
    return subprocess.run(
        [AF_OTEL, "init", "--kubeconfig", kubeconfig or cluster.kubeconfig, *options],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def monitored(cluster):
    """A namespace with a hub, and one with monitoring: as charts make them, without their pods."""
    with contextlib.ExitStack() as stack:
        names = [
            stack.enter_context(cluster.namespace(f"x-init-{part}")) for part in ("hub", "mon")
        ]
        kinds = {
            "monitoring.coreos.com": ("v1", "Prometheus", "prometheuses"),
            "kubernetes.dask.org": ("v1", "DaskCluster", "daskclusters"),
        }
        for group, (version, kind, plural) in kinds.items():
            stack.enter_context(definition(cluster, group, version, kind, plural))
        hub, monitoring = names
        labels = {"app": "jupyterhub", "component": "hub", "release": "casa"}
        cluster.apply(
            workload("Deployment", "hub", labels, "k8s-hub:4", chart="jupyterhub-4.3.2"),
            service("hub", labels, 8081),
            service("proxy-public", labels | {"component": "proxy"}, 80, component="proxy-public"),
            namespace=hub,
        )
        cluster.apply(
            workload("StatefulSet", "tempo", {"app": "tempo"}, "grafana/tempo:2.8.2"),
            service("tempo", {"app": "tempo"}, 3200, 4317, 4318),
            workload("Deployment", "jaeger", {"app": "jaeger"}, "jaegertracing/jaeger:2.13.0"),
            service("jaeger", {"app": "jaeger"}, 16686, 4317, 4318),
            {
                "apiVersion": "monitoring.coreos.com/v1",
                "kind": "Prometheus",
                "metadata": {"name": "k8s"},
                "spec": {
                    "serviceMonitorSelector": {"matchLabels": {"release": "kps"}},
                    "serviceMonitorNamespaceSelector": {},
                },
            },
            workload(
                "Deployment",
                "grafana",
                {"app": "grafana"},
                "grafana/grafana:12.4.0",
                env={"LABEL": "grafana_dashboard", "LABEL_VALUE": "yes", "NAMESPACE": "ALL"},
            ),
            namespace=monitoring,
        )
        yield hub, monitoring


@contextlib.contextmanager
def definition(cluster, group, version, kind, plural):
    """A kind that the cluster serves for as long as the test lasts, if it does not already."""
    served = kubernetes.client.CustomObjectsApi(cluster.client)
    api = kubernetes.client.ApiextensionsV1Api(cluster.client)
    name = f"{plural}.{group}"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": anything},
                }
            ],
        },
    }
    try:
        api.create_custom_resource_definition(body)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        yield
        return

    def is_served():
        with contextlib.suppress(kubernetes.client.ApiException):
            return served.list_cluster_custom_object(group, version, plural) is not None

    try:
        wait_for(is_served, f"{name} is served", 30)
        cluster.api.resources.invalidate_cache()
        yield
    finally:
        api.delete_custom_resource_definition(name)


def workload(kind, name, labels, image, *, chart="", env=None):
    containers = [{"name": "main", "image": image}]
    if env:
        variables = [{"name": key, "value": value} for key, value in env.items()]
        containers.append({"name": "sc-dashboard", "image": "k8s-sidecar:1", "env": variables})
    extra = {"serviceName": name} if kind == "StatefulSet" else {}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "labels": labels | ({"helm.sh/chart": chart} if chart else {})},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            **extra,
        },
    }


def service(name, selector, *ports, **labels):
    named = [{"name": f"p{port}", "port": port} for port in ports]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": selector, "ports": named},
    }


def test_the_facility_that_runs_is_written_down(facility_on_cluster, cluster, tmp_path):
    """The file can be read as it is, and says what is there; a second run leaves it alone."""
    place = facility_on_cluster.namespace
    result = init(cluster, "--hub", place, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "validate" in result.stderr
    written = tmp_path / "facility.yaml"
    facility = read(written)
    assert facility.hub.namespace == place
    assert (facility.hub.service, facility.hub.proxy) == ("hub", "proxy-public")
    assert facility.users.namespaces == [place]
    assert [item.namespaces for item in facility.dask] == [[place]]
    assert written.stat().st_mode & 0o777 == 0o644
    first = written.read_text()
    schema = first.splitlines()[0].partition("$schema=")[2]
    assert json.loads((tmp_path / schema).read_text())["title"] == "Facility"
    assert {item.name for item in tmp_path.iterdir()} == {"facility.yaml", schema}

    written.write_text("mine\n")
    again = init(cluster, "--hub", place, cwd=tmp_path)
    assert again.returncode == 1
    assert "The file is there already" in again.stderr
    assert written.read_text() == "mine\n"
    assert init(cluster, "--hub", place, "--force", cwd=tmp_path).returncode == 0
    assert read(written) == facility


def test_what_charts_have_made_is_found_in_other_namespaces(monitored, cluster, tmp_path):
    """Tempo, Jaeger, the operator's Prometheus, Grafana's sidecar, dask-kubernetes."""
    hub, monitoring = monitored
    places = ("--namespace", hub, "--namespace", monitoring)
    result = init(cluster, *places, "--print", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.iterdir())
    path = tmp_path / "printed.yaml"
    path.write_text(result.stdout)
    facility = read(path)
    assert facility.name == "casa"
    assert facility.destinations.traces.tempo.endpoint == f"http://tempo.{monitoring}:4318"
    assert facility.destinations.traces.tempo.query == f"http://tempo.{monitoring}:3200"
    comments = " ".join(result.stdout.replace("# ", "").split())
    assert f"Not taken: Jaeger `jaeger` in `{monitoring}`" in comments
    assert facility.destinations.metrics.scrape == "service_monitor"
    assert facility.destinations.metrics.monitor.labels == {"release": "kps"}
    assert facility.grafana.labels == {"grafana_dashboard": "yes"}
    assert facility.grafana.namespace is None
    assert [list(item.selector) for item in facility.dask] == [["dask.org/component"]]
    assert "chart jupyterhub-4.3.2, release `casa`" in result.stdout


def test_several_hubs_are_listed_and_none_is_guessed(monitored, cluster, tmp_path):
    """Exit 1, no file, and each of them with its namespace."""
    hub, _ = monitored
    labels = {"app": "jupyterhub", "component": "hub", "release": "two"}
    with cluster.namespace("x-init-two") as other:
        cluster.apply(workload("Deployment", "hub", labels, "k8s-hub:4"), namespace=other)
        places = ("--namespace", hub, "--namespace", other)
        result = init(cluster, *places, cwd=tmp_path)
        assert result.returncode == 1
        assert f"`hub` in `{hub}`" in result.stderr
        assert f"`hub` in `{other}`" in result.stderr
        assert not list(tmp_path.iterdir())
        assert init(cluster, *places, "--hub", other, cwd=tmp_path).returncode == 0


def test_a_namespace_without_a_hub_says_what_was_looked_for(cluster, tmp_path):
    """Exit 1, no file."""
    with cluster.namespace("x-init-empty") as empty:
        result = init(cluster, "--namespace", empty, cwd=tmp_path)
    assert result.returncode == 1
    assert "No JupyterHub was found" in result.stderr
    assert "component: hub" in result.stderr
    assert not list(tmp_path.iterdir())


def test_with_half_the_rights_half_is_written_and_the_rest_told(monitored, cluster, tmp_path):
    """A service account that may list a few kinds in the hub's namespace, and nothing else."""
    hub, _ = monitored
    kubeconfig = someone(cluster, hub, tmp_path)
    result = init(cluster, "--hub", hub, "--json", cwd=tmp_path, kubeconfig=kubeconfig)
    assert result.returncode == 0, result.stderr
    told = json.loads(result.stdout)
    assert told["complete"] is False
    assert any("StatefulSet" in item["what"] for item in told["unread"])
    assert any("statefulsets" in item["hint"] for item in told["unread"])
    assert any("destinations" in item for item in told["to_do"])
    assert told["tempo"] == told["jaeger"] == []
    written = tmp_path / "facility.yaml"
    with pytest.raises(FacilityInvalid):
        read(written)
    assert read(written, with_backends=True).hub.namespace == hub
    denied = init(cluster, "--print", cwd=tmp_path, kubeconfig=kubeconfig)
    assert denied.returncode == 1
    assert "--namespace" in denied.stderr


def someone(cluster, namespace, directory):
    """A kubeconfig of a service account with `RIGHTS` in one namespace."""
    name = "someone"
    cluster.core.create_namespaced_service_account(namespace, {"metadata": {"name": name}})
    api = "rbac.authorization.k8s.io"
    cluster.apply(
        {
            "apiVersion": f"{api}/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": RIGHTS,
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": api, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        },
        namespace=namespace,
    )
    made = cluster.core.create_namespaced_service_account_token(name, namespace, {"spec": {}})
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"] = [
        {"name": item["name"], "user": {"token": made.status.token}} for item in config["users"]
    ]
    for item in config["clusters"]:
        authority = item["cluster"].get("certificate-authority")
        if authority:
            item["cluster"]["certificate-authority"] = str(
                (cluster.kubeconfig.resolve().parent / authority).resolve()
            )
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
