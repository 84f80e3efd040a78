"""`af-otel validate` on a real cluster: what operators run into, each as it shows itself there."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from af_otel.checks import context, run
from af_otel.facility import Facility
from af_otel.kubernetes import facts
from af_otel.kubernetes.client import Cluster
from af_otel.kubernetes.objects._labels import COLLECTOR, chosen_by
from cluster import deploy, odd
from servers import wait_for

HUB = "localhost/af-otel-test/hub:1"
USER = "localhost/af-otel-test/user:1"
USERS = {"app": "jupyterhub", "component": "singleuser-server"}
# Takes anything from who has the password.
SINK = """
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WANTED = "Basic " + b64encode(b"af:right").decode()


class Sink(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        known = self.path.startswith("/open") or self.headers.get("Authorization") == WANTED
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()


ThreadingHTTPServer(("", 8080), Sink).serve_forever()
"""


def a_pod(name, image, labels, *command, **spec):
    container = {"name": "main", "image": image, "imagePullPolicy": "Never"}
    if command:
        container["command"] = list(command)
    small = {"memory": "32Mi", "cpu": "10m"}
    container["resources"] = {"requests": small, "limits": {"memory": "128Mi", "cpu": "1"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{**container, **spec.pop("container", {})}],
            **spec,
        },
    }


@pytest.fixture(scope="module")
def images(facility_on_cluster):
    """The facility's deployment brings the images; its own namespace is left alone here."""
    return facility_on_cluster.cluster


@pytest.fixture
def place(images):
    """A namespace with a hub's pod that is no hub, and something that takes telemetry."""
    with images.namespace("validate") as namespace:
        sleep = ("sleep", "3600")
        images.apply(
            a_pod("hub", HUB, {"component": "hub"}, *sleep),
            a_pod("sink", USER, {"pod": "sink"}, "python3", "-c", SINK),
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "sink"},
                "spec": {"selector": {"pod": "sink"}, "ports": [{"port": 8080}]},
            },
            namespace=namespace,
        )
        wait_for(lambda: all_run(images, namespace), "the pods run", 90)
        yield namespace


def all_run(cluster, namespace):
    pods = cluster.core.list_namespaced_pod(namespace).items
    return all(pod.status.phase == "Running" for pod in pods)


def described(namespace, **changes):
    sink = f"http://sink.{namespace}:8080/open"
    return {
        "name": namespace,
        "namespace": namespace,
        "hub": {"namespace": namespace},
        "destinations": {
            "traces": {"tempo": {"endpoint": sink, "query": sink}},
            "metrics": {"remote_write": {"endpoint": f"{sink}/write"}},
        },
        "scrape": {"hub": False},
        **changes,
    }


def validated(cluster, facility, *only):
    """The report, by a client of its own."""
    connected = Cluster.connect(cluster.kubeconfig)
    with contextlib.closing(connected):
        facility = Facility.model_validate(facility)
        looked = context.live(facility, connected, lambda: facts.read(connected, facility))
        return run.run(looked, run.chosen(only))


def of(report, name):
    """What one check found."""
    return [finding for finding in report.findings if finding.check == name]


def command(facility, tmp_path, kubeconfig, *options):
    file = tmp_path / "facility.yaml"
    file.write_text(yaml.safe_dump(facility))
    program = Path(sys.executable).with_name("af-otel")
    return [program, "validate", "-f", str(file), "--kubeconfig", str(kubeconfig), *options]


def left_behind(cluster, namespace):
    found = []
    for kind, version in (("Pod", "v1"), ("ConfigMap", "v1"), ("NetworkPolicy", NETWORKING)):
        api = cluster.api.resources.get(api_version=version, kind=kind)
        listed = api.get(namespace=namespace, label_selector="af-otel.io/probe").items
        found += [item.metadata.name for item in listed if not item.metadata.deletionTimestamp]
    return found


NETWORKING = "networking.k8s.io/v1"


# --- a facility that is as it should be ---


def test_a_facility_as_its_charts_deploy_it_can_be_installed(images, place, tmp_path):
    """Nothing is in the way, every check was carried out, and no probe is left."""
    cluster = images
    with cluster.namespace("validate-hub") as hub:
        deploy.deploy(cluster, hub, release=hub)
        facility = described(place, hub={"namespace": hub}, scrape={"hub": True})
        asked = command(facility, tmp_path, cluster.kubeconfig, "--json")
        done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
        assert left_behind(cluster, hub) == left_behind(cluster, place) == []
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["ok"]
    assert not report["not_checked"]
    metrics = [each for each in report["findings"] if each["check"] == "hub-metrics-are-readable"]
    assert "answered 403" in metrics[0]["where"]
    assert "read:metrics" in metrics[0]["mend"]


# --- rights ---


@contextlib.contextmanager
def caller(cluster, namespace, tmp_path, *objects):
    """A kubeconfig of an account with the rights that these objects give."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "caller"}}
    cluster.apply(account, namespace=namespace)
    for obj in objects:
        cluster.apply(obj, namespace=namespace)
    body = {"spec": {"expirationSeconds": 600}}
    token = cluster.core.create_namespaced_service_account_token("caller", namespace, body)
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token.status.token}
    path = tmp_path / "caller.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    try:
        yield path
    finally:
        for obj in objects:
            if obj["kind"].startswith("Cluster"):
                api = cluster.api.resources.get(api_version=obj["apiVersion"], kind=obj["kind"])
                api.delete(name=obj["metadata"]["name"])


def bound(kind, name, rules):
    rbac = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{rbac}/v1", "kind": kind, "metadata": {"name": name}, "rules": rules}
    subject = {"kind": "ServiceAccount", "name": "caller"}
    reference = {"apiGroup": rbac, "kind": kind, "name": name}
    binding = {**role, "kind": f"{kind}Binding", "roleRef": reference, "subjects": [subject]}
    del binding["rules"]
    return role, binding


def test_no_rights(images, place, tmp_path):
    """Who may do nothing reads which roles to ask for; the other checks say why they are not."""
    with caller(images, place, tmp_path) as kubeconfig:
        asked = command(described(place), tmp_path, kubeconfig, "--json")
        done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
    report = json.loads(done.stdout)
    unchecked = {item["check"]: item for item in report["not_checked"]}
    assert done.returncode == 3, done.stderr
    assert "You may not" in unchecked["images-have-python"]["why"]
    assert "ask for" in unchecked["images-have-python"]["hint"]
    [finding] = report["findings"]
    roles = list(yaml.safe_load_all(finding["mend"]))
    assert {role["kind"] for role in roles} == {
        *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
    }
    assert any(
        "mutatingadmissionpolicies" in rule["resources"]
        for role in roles
        for rule in role.get("rules", ())
    )


def test_half_the_rights(images, place, tmp_path):
    """Only what is missing is asked for, for this account; with that granted, nothing is."""
    rules = [
        {"apiGroups": [""], "resources": ["pods", "configmaps", "services"], "verbs": ["*"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["list"]},
    ]
    look = [
        {"apiGroups": [""], "resources": ["namespaces", "secrets"], "verbs": ["get"]},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["list"]},
    ]
    reader = bound("ClusterRole", f"reader-{place}", look)
    reader[1]["subjects"][0]["namespace"] = place
    with caller(images, place, tmp_path, *bound("Role", "half", rules), *reader) as kubeconfig:
        asked = command(
            described(place), tmp_path, kubeconfig, "--json", "--only", "you-may-install"
        )
        done = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 3, done.stdout + done.stderr
        [finding] = json.loads(done.stdout)["findings"]
        assert f"system:serviceaccount:{place}:caller" in finding["what"]
        granted = list(yaml.safe_load_all(finding["mend"]))
        asked_for = [rule for role in granted for rule in role.get("rules", ())]
        assert not any("storageclasses" in rule["resources"] for rule in asked_for)
        assert not any(rule["resources"] == ["configmaps"] for rule in asked_for)
        assert any("deployments" in rule["resources"] for rule in asked_for)
        try:
            images.apply(*granted)
            again = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
            assert again.returncode == 0, again.stdout
        finally:
            for obj in granted:
                api = images.api.resources.get(api_version=obj["apiVersion"], kind=obj["kind"])
                meta = obj["metadata"]
                api.delete(name=meta["name"], namespace=meta.get("namespace"))


# --- pods and images ---


def test_restricted_pod_security(images, place):
    """The Collector is admitted, our probes are, and nothing stands in the way."""
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    images.core.patch_namespace(place, label)
    security = {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    alice = a_pod("alice", USER, USERS, "sleep", "3600", container={"securityContext": security})
    images.apply(alice, namespace=place)
    wait_for(lambda: all_run(images, place), "the pods run", 60)
    report = validated(images, described(place))
    assert not report.blocks, [each.as_json() for each in report.findings]
    unchecked = {item.check for item in report.unchecked}
    assert unchecked <= {"hub-hooks-are-chained", "environment-is-left-to-us"}, report.unchecked
    assert of(report, "namespaces-admit-our-pods")[0].severity == "info"


@pytest.mark.parametrize(
    ("image", "says"),
    [("no_python", "No Python is in image"), ("python_38", "Python 3.8 of image")],
)
def test_an_image_that_cannot_be_traced(images, place, image, says):
    """It is named, with what to write in facility.yaml; its pods' way out is tried as well."""
    name = getattr(odd, image)(images)
    images.apply(a_pod("alice", name, USERS), namespace=place)
    wait_for(lambda: all_run(images, place), "the pods run", 60)
    report = validated(images, described(place), "images-have-python", "users-pods-reach")
    [finding] = of(report, "images-have-python")
    assert says in finding.what
    assert (finding.severity, name in finding.mend) == ("warns", True)
    assert not report.unchecked, report.unchecked
    assert not of(report, "users-pods-reach-the-collector")


def test_an_image_with_a_site_and_an_opentelemetry_of_its_own(images, place):
    """Its PYTHONPATH is kept; spans that users record with its old API are not exported."""
    name = odd.own_site(images)
    images.apply(a_pod("alice", name, USERS, "sleep", "3600"), namespace=place)
    wait_for(lambda: all_run(images, place), "the pods run", 60)
    report = validated(images, described(place), "opentelemetry", "own-", "images-have")
    [fits] = of(report, "opentelemetry-fits")
    assert "`opentelemetry-api` 1.19.0" in fits.what
    assert "pip install 'opentelemetry-api>=1.20,<2'" in fits.mend
    [path] = of(report, "own-python-path-is-kept")
    assert "/srv/site" in path.what
    assert not report.unchecked


# --- the network ---


def test_egress_blocked(images, place, tmp_path):
    """The NetworkPolicy that is missing `--fix` adds; what none opens is in the way still."""
    images.apply(a_pod("alice", USER, USERS, "sleep", "3600"), namespace=place)
    images.apply(
        {
            "apiVersion": NETWORKING,
            "kind": "NetworkPolicy",
            "metadata": {"name": "singleuser"},
            "spec": {"podSelector": {"matchLabels": USERS}, "policyTypes": ["Egress"]},
        },
        namespace=place,
    )
    facility = Facility.model_validate(described(place))
    chosen = chosen_by(facility, COLLECTOR)
    listen = SINK.replace("8080", "4318")
    images.apply(
        a_pod("collector", USER, chosen, "python3", "-c", listen),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": COLLECTOR},
            "spec": {"selector": chosen, "ports": [{"port": 4318}]},
        },
        namespace=place,
    )
    wait_for(lambda: all_run(images, place), "the pods run", 60)
    asked = command(described(place), tmp_path, images.kubeconfig, "--only", "users-pods-reach")

    def put_back():
        # A new name is a while in coming, and without it nothing else can be told.
        subprocess.run([*asked, "--fix", "--yes"], capture_output=True, timeout=120, check=False)
        api = images.api.resources.get(api_version=NETWORKING, kind="NetworkPolicy")
        return f"af-otel-{place}-egress-singleuser" in {
            each.metadata.name for each in api.get(namespace=place).items
        }

    wait_for(put_back, "the policy is there", 180)
    wait_for(lambda: not found(images, place), "nothing is to be found", 180)
    [collector] = images.addresses(place, f"app.kubernetes.io/name={COLLECTOR}")
    pods = collector.rpartition(".")[0] + ".0/24"
    with images.dropped([pods], [collector]):
        [finding] = found(images, place)
    assert finding.severity == "blocks"
    assert "cannot reach" in finding.what, finding.as_json()
    assert "also with a NetworkPolicy that allows it" in finding.where
    assert f"let TCP 4317 and 4318 pass from `{place}`" in finding.mend
    assert left_behind(images, place) == []


def found(cluster, place):
    return validated(cluster, described(place), "users-pods-reach").findings


# --- destinations ---


def secret(name, **values):
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()},
    }


def with_password(place, name):
    facility = described(place)
    sink, auth = f"http://sink.{place}:8080", {"basic": {"secret": name}}
    facility["destinations"]["traces"] = {"tempo": {"endpoint": sink, "query": sink, "auth": auth}}
    return facility


def test_credentials(images, place):
    """Right ones are taken; wrong ones are told with the Secret and the keys that they are from."""
    images.apply(
        secret("right", username="af", password="right"),
        secret("wrong", username="af", password="wrong"),
        namespace=place,
    )
    taken = validated(images, with_password(place, "right"), "destinations", "secrets")
    assert not taken.findings, taken.as_json()
    report = validated(images, with_password(place, "wrong"), "destinations", "secrets")
    [finding] = report.findings
    assert "refuses the credentials (401)" in finding.what
    assert "key `password` of Secret `wrong`" in finding.where
    assert "create secret generic wrong" in finding.mend


def test_a_secret_that_is_missing_or_lacks_a_key(images, place):
    """Either is told before anything waits for it, with the command that makes it."""
    images.apply(secret("half", username="af"), namespace=place)
    [missing] = validated(images, with_password(place, "none"), "secrets-are-there").findings
    assert f"There is no Secret `none` in `{place}`" in missing.what
    assert "--from-literal=password=" in missing.mend
    [half] = validated(images, with_password(place, "half"), "secrets-are-there").findings
    assert "has no key `password`" in half.what


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("http://nobody.{place}:4318", "has a name that the cluster does not know"),
        ("http://sink.{place}:8081", "cannot be reached|does not listen"),
        ("https://sink.{place}:8080", "speaks no TLS"),
        ("https://kubernetes.default:443", "do not trust each other"),
    ],
)
def test_an_address_that_is_wrong(images, place, endpoint, says):
    """A name, a port, a scheme: each is told as what it is."""
    facility = described(place)
    facility["destinations"]["traces"]["tempo"]["endpoint"] = endpoint.format(place=place)
    [finding] = validated(images, facility, "destinations").findings
    assert any(text in finding.what for text in says.split("|")), finding.as_json()


# --- the cluster ---


def test_a_quota_that_is_used_up(images, place):
    """The Collector's requests do not fit any more: which quota, and how much is needed."""
    images.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "small"},
            "spec": {"hard": {"limits.memory": "512Mi", "count/pods": "50"}},
        },
        namespace=place,
    )
    quota = images.core.read_namespaced_resource_quota
    wait_for(lambda: quota("small", place).status.used, "the quota is counted", 60)
    [finding] = validated(images, described(place), "quotas").findings
    assert "`limits.memory`" in finding.what
    assert "ResourceQuota `small`" in finding.where


def test_a_name_that_is_taken(images, place):
    """An object that somebody else has made stops an install, and is named."""
    taken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "af-otel-collector"}}
    images.apply({**taken, "spec": {"ports": [{"port": 80}]}}, namespace=place)
    [finding] = validated(images, described(place), "our-names").findings
    assert finding.severity == "blocks"
    assert "Service `af-otel-collector`" in finding.what


def test_a_configuration_that_the_collector_refuses(images, place):
    """An image that is no Collector is found out by running it."""
    facility = described(place, collector={"image": USER, "pull_policy": "Never"})
    report = validated(images, facility, "collector-accepts")
    [finding] = report.findings or pytest.fail(str(report.unchecked))
    assert finding.severity == "blocks"


def test_ctrl_c_leaves_nothing(images, place, tmp_path):
    """Probes that run, or are about to, are gone when the command has ended, with 130."""
    images.apply(a_pod("alice", USER, USERS, "sleep", "3600"), namespace=place)
    asked = command(described(place), tmp_path, images.kubeconfig)
    running = subprocess.Popen(asked, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        wait_for(lambda: left_behind(images, place), "a probe is there", 60)
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 130
    finally:
        running.kill()
    assert "probe pods are gone" in running.stderr.read()
    assert left_behind(images, place) == []


def test_what_a_killed_run_left_is_removed(images, place, tmp_path):
    """`--fix` removes it, and nothing else."""
    images.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "left", "labels": {"af-otel.io/probe": "old"}},
            "data": {"text": textwrap.dedent("left")},
        },
        namespace=place,
    )
    asked = command(described(place), tmp_path, images.kubeconfig, "--fix", "--only", "no-probes")
    refused = subprocess.run(
        asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 1, refused.stderr
    assert left_behind(images, place) == ["left"]
    subprocess.run([*asked, "--yes"], capture_output=True, timeout=60, check=True)
    assert left_behind(images, place) == []
