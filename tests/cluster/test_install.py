"""`af-otel install`, `diff`, `status`, `upgrade` and `uninstall`, by the command, on a cluster.

With the real hub and a proof: test_end_to_end.py.
"""

from __future__ import annotations

import urllib.request

import pytest
import yaml

from af_otel.facility.collector import IMAGE
from af_otel.kubernetes.refs import Ref
from cluster.small import USER, pod, small_facility
from servers import wait_for

ADMISSION = "admissionregistration.k8s.io/v1"


@pytest.fixture
def small(cluster, tmp_path):
    with small_facility(cluster, tmp_path) as small:
        yield small


def test_a_dry_run_changes_nothing(small):
    """`--dry-run` shows every object that would be made, and the cluster is as before."""
    before = small.everything()
    shown = small.json("install", "--dry-run", "--skip-verify")
    kinds = {change["kind"] for change in shown["changes"] if change["action"] == "create"}
    assert {"Namespace", "Deployment", "MutatingAdmissionPolicy", "ConfigMap"} <= kinds
    assert not shown["applied"]
    assert small.changed(before) == set()


def test_nobody_there_to_ask_is_an_error(small):
    """Without a terminal and without `--yes` nothing is changed, and that is said."""
    said = small.run("install", "--skip-verify", code=1).stderr
    assert "`--yes`" in said
    assert small.ours() == []


def test_an_install_and_all_that_follows(small):
    """The hub is injected; a second install changes nothing; users' pods are told apart; what is
    changed in facility.yaml comes with an upgrade, and goes with a rollback.
    """
    small.user_pod("user-before")
    made = small.json("install", "--yes", "--skip-verify")
    assert made["applied"]
    assert made["seconds"] - made["seconds_pulling"] < 60
    assert small.injected() != [""]

    versions = {Ref.of(item): item["metadata"]["resourceVersion"] for item in small.ours()}
    hub = [pod["metadata"]["uid"] for pod in small.hub_pods()]
    again = small.install()
    assert "all is as it should be" in again.stderr
    still = {Ref.of(item): item["metadata"]["resourceVersion"] for item in small.ours()}
    assert {ref: version for ref, version in still.items() if ref.kind != "Deployment"} == {
        ref: version for ref, version in versions.items() if ref.kind != "Deployment"
    }
    assert [pod["metadata"]["uid"] for pod in small.hub_pods()] == hub
    assert small.run("diff").returncode == 0

    small.user_pod("user-after")
    status = small.json("status")
    assert status["well"]
    states = {pod["name"]: pod["state"] for pod in status["pods"]}
    assert states["user-before"] == "before"
    assert states["user-after"] == "injected"
    assert status["collector"]["refused"] == 0

    first = collector_settings(small)
    small.write(sampling={"share": 0.5})
    assert small.json("diff", code=4)["changes"]
    small.run("upgrade", "--yes", "--skip-verify")
    assert collector_settings(small) != first
    assert small.run("diff").returncode == 0
    back = small.run("upgrade", "--rollback", "--yes", "--skip-verify")
    assert "From 0." in back.stderr
    assert collector_settings(small) == first
    assert small.json("status")["well"]


def test_a_pod_that_our_step_holds_up_is_named(small):
    """Its image has no shell: `status` says which, and what it says to do helps."""
    small.install()
    body = pod("user-shell-less", small.hub, USER)
    (container,) = body["spec"]["containers"]
    container |= {"image": IMAGE, "command": ["/no-shell", "--version"]}
    small.api.create(body)

    ref = Ref("v1", "Pod", "user-shell-less", small.hub)

    def ended():
        (step,) = small.api.get(ref)["status"].get("initContainerStatuses") or [{}]
        return "terminated" in {**step.get("state", {}), **step.get("lastState", {})}

    wait_for(ended, "its first try", 90)
    (found,) = small.json("status", code=1)["pods"][1:]
    assert (found["name"], found["state"], found["image"]) == (ref.name, "blocked", IMAGE)
    said = small.run("status", code=1).stdout
    assert f"add `{IMAGE}` to `injection.exclude_images`" in said

    small.api.delete(ref, grace=0)
    small.write(injection={"exclude_images": [IMAGE]})
    small.install()
    small.api.create(body)
    (found,) = small.json("status")["pods"][1:]
    assert (found["name"], found["state"]) == (ref.name, "out")


def test_uninstall_leaves_the_cluster_as_it_was(small):
    """Object by object, over all kinds there are; a running session does not notice."""
    before = small.everything()
    small.install()
    small.user_pod("session")
    small.run("uninstall", "--yes", "--namespace", small.namespace)
    session = Ref("v1", "Pod", "session", small.hub)
    assert small.changed(before) == {session}

    live = small.api.get(session)
    assert live["metadata"]["annotations"]["af-otel.io/injected"]
    assert [each["restartCount"] for each in live["status"]["containerStatuses"]] == [0]
    with small.api.forward(small.hub, "pod/session", 8081) as url:
        assert urllib.request.urlopen(url, timeout=30).status == 200
    assert small.json("uninstall", "--yes") == {"installed": False, "removed": False}
    assert small.json("status", code=1) == {"installed": False, "facility": small.name}


def test_a_namespace_of_others_stays(small):
    """Where the namespace was there already, neither it nor what others have in it is touched."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": small.namespace}}
    small.api.create(namespace)
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "theirs", "namespace": small.namespace},
        "data": {"a": "b"},
    }
    small.api.create(theirs)
    before = small.everything()
    small.install("--no-restart")
    assert small.injected() == [""]
    small.run("uninstall", "--yes")
    assert small.changed(before) == set()


def test_a_namespace_with_something_of_others_in_it_stays(small):
    """A namespace that we made stays if somebody put something into it, and that is said."""
    small.install("--no-restart")
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "theirs", "namespace": small.namespace},
    }
    small.api.create(theirs)
    said = small.json("uninstall", "--yes")
    assert not said["namespace_goes"]
    assert "theirs" in str(said["stays"])
    assert small.api.get(theirs) is not None


def test_a_plan_hides_secrets_and_payloads(small):
    """No secret and no payload is printed, in words or as JSON."""
    images = {"grafana": "registry.example.org/grafana:12.4.0"}
    small.write(backends={"jaeger": True, "prometheus": True, "grafana": True, "images": images})
    shown = small.json("install", "--dry-run", "--skip-verify", "--force-checks")
    secret = next(change for change in shown["changes"] if change["kind"] == "Secret")
    assert "<hidden>" in "\n".join(secret["diff"])
    payload = next(change for change in shown["changes"] if "payload" in change["name"])
    text = "\n".join(payload["diff"])
    assert "<sha256:" in text
    assert len(text) < 20_000


def collector_settings(small):
    ref = Ref("apps/v1", "Deployment", "af-otel-collector", small.namespace)
    deployment = small.api.get(ref)
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return yaml.safe_dump(env)
