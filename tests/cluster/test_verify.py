"""`af-otel verify` on a cluster where not all is well, or somebody has no patience."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess

import kubernetes
import pytest
import yaml

from af_otel.kubernetes.refs import Ref
from cluster.parts import POD_CIDR
from cluster.real import NAME, USER, described, left_of_the_user, said
from cluster.small import AF_OTEL, caller, ended
from servers import wait_for

ADMISSION = "admissionregistration.k8s.io/v1"
# What is missing is soon known to be.
IMPATIENT = "\nsampling: {wait: 5s}\nscrape: {interval: 5s}\n"


@pytest.fixture(scope="module")
def facility(facility_on_cluster):
    return facility_on_cluster


@pytest.fixture(scope="module")
def place(facility, tmp_path_factory):
    """The facility with af-otel on it."""
    with described(facility, tmp_path_factory.mktemp("facility")) as place:
        with place.file.open("a") as file:
            file.write(IMPATIENT)
        said(place, "install", "--yes", "--skip-verify")
        yield place


def started(place, *options, **env):
    return subprocess.Popen(
        [AF_OTEL, "verify", *options],
        cwd=place.directory,
        env={**os.environ, "KUBECONFIG": str(place.kubeconfig), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def failed(place, *options, **env):
    """What a verification that fails says on stderr, after its steps."""
    process = started(place, *options, **env)
    out, err = ended(process, timeout=600)
    assert process.returncode == 1, f"{out}\n{err}"
    return err.partition("error: ")[2]


def stopped_after(place, step, number):
    """End a verification when a step is done; its exit code, and all that it said."""
    process = started(place)
    lines = []
    for line in process.stderr:
        # Once: a line may come again that was interrupted while it was printed.
        if line.startswith(f"{step}: done") and line not in lines:
            process.send_signal(number)
        lines.append(line)
    return process.wait(60), "".join(lines)


@pytest.mark.parametrize(
    ("step", "number"),
    [("enter the hub", signal.SIGTERM), ("start kernel", signal.SIGINT)],
    ids=["cancelled while it spawns", "interrupted while it starts Dask"],
)
def test_nothing_is_left_of_a_visit_that_is_stopped(facility, place, step, number):
    """No server, no pod, no Dask, no user; the exit code is that of Ctrl-C."""
    code, err = stopped_after(place, step, number)
    assert code == 130, err
    assert "Stopped; nothing is left of its user" in err
    wait_for(lambda: left_of_the_user(facility, place) == [], "its pods are gone", 60)


def test_the_next_one_removes_what_a_killed_one_left(facility, place):
    """Its user, its server and its Dask cluster; and it proves every hop of its own."""
    process = started(place)
    for line in process.stderr:
        if line.startswith("start kernel: done"):
            # Until its Dask cluster is there.
            wait_for(lambda: scheduler(place), "its Dask scheduler is made", 120)
            process.kill()
            break
    process.wait(30)
    assert USER in left_of_the_user(facility, place)

    proven = said(place, "verify")
    assert proven["ok"], proven["broken"]
    wait_for(lambda: left_of_the_user(facility, place) == [], "its pods are gone", 60)


def test_a_store_that_cannot_be_asked_is_named_and_the_rest_is_proven(place):
    """Without a query API, what an OTLP store has is reported as unproven; all else is proven."""
    written = yaml.safe_load(place.file.read_text())
    written["backends"]["jaeger"] = False
    endpoint = f"http://af-otel-jaeger.{written['namespace']}:4318"
    written.setdefault("destinations", {})["traces"] = {"otlp": {"endpoint": endpoint}}
    other = place.file.with_name("otlp.yaml")
    other.write_text(yaml.safe_dump(written))

    proven = said(place, "verify", "-f", str(other))

    assert proven["ok"], proven["broken"]
    assert proven["unproven"] == (
        "whether traces are stored: `destinations.traces.otlp.query` is not set"
    )
    assert proven["hops"] == []
    assert [metric["metric"] for metric in proven["metrics"] if metric["proven"]]
    assert "received" in proven["collector"]

    process = place.start("trace", "last", "-f", str(other))
    _, err = ended(process)
    assert process.returncode == 1
    assert err.startswith("error: The facility's file does not say where traces can be looked up")
    assert "destinations.traces.otlp.query" in err


def scheduler(place):
    labels = {"app.kubernetes.io/component": "dask-scheduler"}
    return place.api.list("Pod", namespace=place.hub, labels=labels)


def test_a_pod_that_is_not_injected_is_named(facility, place):
    """The policy was removed by hand: the first hop without its span is named, and why."""
    for kind in ("MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"):
        place.api.delete(Ref(ADMISSION, kind, f"af-otel-{NAME}"))
    try:
        told = failed(place)
    finally:
        said(place, "install", "--yes", "--skip-verify")
    assert told.startswith("Broken at `start server`: In the trace store: no span `start server`")
    assert f"pod `jupyter-{USER}` was not injected" in told
    assert left_of_the_user(facility, place) == []


def test_a_way_out_that_is_blocked_is_told_with_what_the_collector_counted(facility, place):
    """Nothing has arrived: so the Collector is named, and not the first hop."""
    collector = facility.cluster.addresses(
        place.namespace, "app.kubernetes.io/name=af-otel-collector"
    )
    with facility.cluster.dropped([POD_CIDR], collector):
        told = failed(place)
    assert told.startswith("Broken at `collector`: No span has arrived at the Collector")
    assert ": 0 received, 0 refused," in told


def test_a_user_of_a_token_is_themselves(facility, place):
    """A person's token is good for a visit as that person, who stays; a running server is left
    alone.
    """
    with contextlib.suppress(OSError):
        facility.call("POST", "/users/operator")
    token = facility.call("POST", "/users/operator/tokens", {"note": "verify"})["token"]
    process = started(place, "--json", AF_OTEL_HUB_TOKEN=token)
    out, err = ended(process, timeout=600)
    assert process.returncode == 0, err
    assert json.loads(out)["user"] == "operator"
    assert facility.call("GET", "/users/operator")["servers"] == {}

    facility.start_server("operator")
    told = failed(place, AF_OTEL_HUB_TOKEN=token)
    assert "The user of the token has a server running, which is left alone" in told
    assert facility.call("GET", "/users/operator")["servers"][""]["ready"]
    facility.stop_server("operator")
    facility.call("DELETE", "/users/operator")


def test_a_wrong_token_is_refused(place):
    """And not replaced by one of our own."""
    told = failed(place, AF_OTEL_HUB_TOKEN="wrong")
    assert told.startswith("Broken at `enter the hub`: The hub does not know the token")


def test_who_may_not_run_commands_in_the_hubs_pod_learns_what_to_ask_for(place):
    """The rule, and the way around it."""
    reads = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}
    forwards = {"apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get", "create"]}
    config = caller(place, ("", reads), (place.hub, forwards), (place.namespace, forwards))
    told = failed(place, "--kubeconfig", str(config))
    assert "You may not run a command in Pod `hub-" in told
    assert "resources: [pods/exec]" in told
    assert "AF_OTEL_HUB_TOKEN" in told


def test_a_jaeger_that_is_away_is_reported_before_anything_is_created(facility, place):
    """The trace store is needed at the end, and is checked at the beginning."""
    jaeger = Ref("apps/v1", "Deployment", "af-otel-jaeger", place.namespace)
    scaled(facility, place, jaeger, 0)
    try:
        told = failed(place)
    finally:
        scaled(facility, place, jaeger, 1)
    assert told.startswith("No pod of Service `af-otel-jaeger`")
    assert left_of_the_user(facility, place) == []


def scaled(facility, place, ref, replicas):
    apps = kubernetes.client.AppsV1Api(facility.cluster.client)
    apps.patch_namespaced_deployment_scale(
        ref.name, ref.namespace, {"spec": {"replicas": replicas}}
    )
    labels = {"app.kubernetes.io/name": ref.name}
    wait_for(
        lambda: len(place.api.list("Pod", namespace=ref.namespace, labels=labels)) == replicas,
        f"{replicas} pods of {ref.name}",
        120,
    )
