"""What goes wrong around an install on somebody else's cluster: said, and never made worse."""

from __future__ import annotations

import contextlib
import signal

import pytest

from af_otel.kubernetes import inventory
from af_otel.kubernetes.refs import Ref
from cluster.small import Wire, a_hub, caller, ended, small_facility
from servers import wait_for

ADMISSION = "admissionregistration.k8s.io/v1"
# A hub that does not start with anything on PYTHONPATH.
FUSSY = ["sh", "-c", '[ -z "$PYTHONPATH" ] && exec python3 -m http.server 8081; exit 7']


@pytest.fixture
def small(cluster, tmp_path):
    with small_facility(cluster, tmp_path) as small:
        yield small


def test_no_rights(small):
    """Who may do nothing is told so, and what to ask for; the cluster is as before."""
    nobody = caller(small)
    before = small.everything()
    said = small.install(code=3, kubeconfig=nobody)
    assert "ClusterRole" in said.stderr
    forced = small.install("--force-checks", code=1, kubeconfig=nobody)
    assert "error: You may not" in forced.stderr
    assert "rule" in forced.stderr
    assert small.changed(before) == set()


def test_half_the_rights(small):
    """Who may do everything in namespaces, and nothing to the whole cluster, learns what lacks
    before anything is changed.
    """
    reads = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}
    writes = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    half = caller(small, ("", reads), (small.hub, writes))
    before = small.everything()
    said = small.install("--force-checks", code=1, kubeconfig=half).stderr
    assert "mutatingadmissionpolicies" in said
    assert "verbs: [create, patch]" in said
    assert small.changed(before) == set()


def test_the_api_goes_away_and_comes_back(small):
    """An API server that is away for a while is waited for, and the install goes on by itself."""
    wire = Wire(small.kubeconfig, small.directory)
    process = small.start(
        "install", "--yes", "--skip-verify", "--force-checks", kubeconfig=wire.kubeconfig
    )
    wait_for(lambda: begun(small), "the install has begun", 120)
    wire.cut()
    waiting = wait_for(lambda: noticed(process), "it says that the API is away", 60)
    wire.mend()
    out, err = ended(process)
    assert process.returncode == 0, f"{out}\n{waiting}{err}"
    assert "answers again" in err
    assert small.run("diff").returncode == 0


def test_the_api_stays_away_and_a_second_run_completes(small):
    """After an outage that lasts, the command ends with an error; run again, it completes."""
    wire = Wire(small.kubeconfig, small.directory)
    process = small.start(
        *("install", "--yes", "--skip-verify", "--force-checks", "--timeout", "4"),
        kubeconfig=wire.kubeconfig,
    )
    wait_for(lambda: begun(small), "the install has begun", 120)
    wire.cut()
    out, err = ended(process)
    assert process.returncode == 1, f"{out}\n{err}"
    assert "does not answer" in err
    assert small.json("status", code=1)["state"] == "applying"
    small.install()
    assert small.json("status")["well"]
    assert small.injected() != [""]


def test_ctrl_c_in_the_middle(small):
    """Ctrl-C says what to do; the next run completes it, or an uninstall removes all of it."""
    before = small.everything()
    for finish in ("uninstall", "install"):
        process = small.start("install", "--yes", "--skip-verify", "--force-checks")
        wait_for(lambda: begun(small), "the install has begun", 120)
        process.send_signal(signal.SIGINT)
        out, err = ended(process)
        assert process.returncode == 130, f"{out}\n{err}"
        assert "completes it" in err
        assert "removes it" in err
        assert small.json("status", code=1)["state"] == "applying"
        if finish == "uninstall":
            small.run("uninstall", "--yes")
            assert small.ours() == []
            assert small.changed(before) == set()
    small.install()
    assert small.json("status")["well"]


def test_an_object_of_our_name_that_is_not_ours(small):
    """It is named and left alone, and nothing else is made."""
    place = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": small.namespace}}
    theirs = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "af-otel-collector", "namespace": small.namespace},
        "data": {"theirs": "yes"},
    }
    small.api.create(place)
    small.api.create(theirs)
    before = small.everything()
    said = small.install("--force-checks", code=1).stderr
    assert "ConfigMap `af-otel-collector`" in said
    assert "was not made by af-otel" in said
    assert small.changed(before) == set()


def test_the_policy_is_removed_by_hand(small):
    """`status` and `diff` say so, and an install puts it back."""
    small.install("--no-restart")
    for kind in ("MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"):
        small.api.delete(Ref(ADMISSION, kind, f"af-otel-{small.name}"))
    status = small.run("status", code=1).stdout
    assert f"MutatingAdmissionPolicy af-otel-{small.name} was deleted" in status
    differs = small.json("diff", code=4)
    assert {(change["action"], change["kind"]) for change in differs["changes"]} == {
        ("create", "MutatingAdmissionPolicy"),
        ("create", "MutatingAdmissionPolicyBinding"),
    }
    small.install("--no-restart")
    assert small.json("status")["well"]


def test_the_hub_is_deployed_again_over_ours(small):
    """Like `helm upgrade`: the hub's Deployment is written anew by its owner, who knows nothing of
    us, and its new pod is injected all the same.
    """
    small.install()
    old = {pod["metadata"]["uid"] for pod in small.hub_pods()}
    again = a_hub(small.hub)
    again["spec"]["template"]["metadata"]["annotations"] = {"checksum/config-map": "another"}
    path = f"/apis/apps/v1/namespaces/{small.hub}/deployments/hub"
    small.api.request("PUT", path, query=[("fieldManager", "helm")], body=again)
    wait_for(
        lambda: (
            len(small.hub_pods()) == 1
            and not old & {p["metadata"]["uid"] for p in small.hub_pods()}
        ),
        "the hub's pod is another one",
        60,
    )
    small.wait_hub()
    assert small.injected() != [""]
    assert small.run("diff").returncode == 0
    assert small.json("status")["well"]


def test_somebody_has_changed_our_object(small):
    """Who owns which field is said; only `--force-conflicts` sets it back."""
    small.install("--no-restart")
    path = f"/apis/apps/v1/namespaces/{small.namespace}/deployments/af-otel-collector"
    small.api.request(
        "PATCH",
        path,
        query=[("fieldManager", "kubectl-edit")],
        body={"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 7}}}},
        content_type="application/merge-patch+json",
    )
    said = small.install("--no-restart", code=1).stderr
    assert "`.spec.template.spec.terminationGracePeriodSeconds` was set by `kubectl-edit`" in said
    assert small.json("status", code=1)["drift"][0]["name"] == "af-otel-collector"
    small.install("--no-restart", "--force-conflicts")
    assert small.run("diff").returncode == 0


def test_an_image_that_cannot_be_pulled(small):
    """It is said early, by name; nothing is injected, and the hub is left alone."""
    small.write(collector={"image": "localhost/af-otel-test/missing:1"})
    hub = [pod["metadata"]["uid"] for pod in small.hub_pods()]
    said = small.install("--force-checks", code=1).stderr
    assert "`localhost/af-otel-test/missing:1` cannot be pulled" in said
    assert "`pull_secrets`" in said
    assert [pod["metadata"]["uid"] for pod in small.hub_pods()] == hub
    assert small.api.get(Ref(ADMISSION, "MutatingAdmissionPolicy", f"af-otel-{small.name}")) is None


def test_a_hub_that_does_not_bear_us(cluster, tmp_path):
    """A hub that does not come back with us in it runs again without us, and that is said."""
    with small_facility(cluster, tmp_path, FUSSY) as small:
        said = small.install("--force-checks", code=1).stderr
        assert "did not come back with af-otel in it" in said
        assert "the hub runs as before" in said
        small.wait_hub()
        assert small.injected() == [""]
        status = small.run("status", code=1).stdout
        assert "was deleted" in status


def test_nothing_to_go_back_to(small):
    """A rollback needs something installed, and something before that."""
    assert "Nothing is installed" in small.run("upgrade", "--yes", code=1).stderr
    small.install("--no-restart")
    said = small.run("upgrade", "--rollback", "--yes", "--skip-verify", code=1).stderr
    assert "There is nothing to go back to" in said


def begun(small):
    """Whether the inventory is there, so that objects are about to be."""
    with contextlib.suppress(KeyError):
        found = inventory.read(small.api, small.namespace)
        return found is not None and found.state == "applying"
    return False


def noticed(process):
    """What a command has said by the time it waits for the API."""
    line = process.stderr.readline()
    return line if "trying again" in line else ""
