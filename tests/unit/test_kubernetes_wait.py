"""What workloads and pods say of themselves, and what an install makes of it."""

from __future__ import annotations

import pytest

from af_otel.facility import Facility
from af_otel.kubernetes import pods, progress, pulls, troubles, wait
from af_otel.kubernetes.errors import Unreachable


def deployment(generation=1, **status):
    return {
        "kind": "Deployment",
        "metadata": {"generation": generation},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, **status},
    }


RUNS = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


@pytest.mark.parametrize(
    ("workload", "done"),
    [
        (deployment(**RUNS), True),
        (deployment(generation=2, **RUNS), False),  # not looked at yet
        (deployment(**{**RUNS, "replicas": 2}), False),  # the old one is not gone yet
        (deployment(**{**RUNS, "availableReplicas": 0}), False),
        (deployment(), False),
    ],
)
def test_rolled_out(workload, done):
    """As it was last described, and nothing of before."""
    assert wait.rolled_out(workload) is done


def waiting(reason, message=""):
    state = {"waiting": {"reason": reason, "message": message}}
    container = {"name": "c", "image": "i:1", "state": state}
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": [container]}}


def test_an_image_that_is_not_there_is_a_trouble():
    """With the registry's words and what to set."""
    (found,) = troubles.of(waiting("ImagePullBackOff", "not found"))
    assert found.what == "The image `i:1` cannot be pulled"
    assert "not found" in found.where
    assert "pull_secrets" in found.hint


def test_a_first_failed_pull_may_pass():
    """Registries have their moments."""
    assert list(troubles.of(waiting("ErrImagePull"))) == []
    assert list(troubles.of(waiting("ContainerCreating"))) == []
    assert troubles.doing(waiting("ContainerCreating")) == "starting"


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ('Successfully pulled image "x" in 1.2s (1.5s including waiting). Image size: 1', 1.5),
        ('Successfully pulled image "x" in 250ms (250ms including waiting).', 0.25),
        ('Successfully pulled image "x" in 2s (1m2.5s including waiting).', 62.5),
        ('Container image "x" already present on machine', 0),
    ],
)
def test_how_long_a_pull_took(message, seconds):
    """By the kubelet's own words."""
    assert pulls.duration(message) == seconds


def test_how_a_pod_stands():
    """Injected with this or an older payload, from before, or without by its own wish or the
    facility's: then a restart would change nothing.
    """
    facility = Facility.model_validate(
        {
            "name": "f",
            "hub": {"namespace": "jhub"},
            "backends": {"jaeger": True, "prometheus": True},
            "injection": {"exclude_images": ["their/hub"]},
        }
    )

    def state(payload="", image="hub:1", **annotations):
        volumes = [{"name": "af-otel-payload", "configMap": {"name": payload}}] if payload else []
        containers = [{"image": "sidecar:1"}, {"image": image}]
        spec = {"volumes": volumes, "containers": containers}
        return pods.state_of(
            {"metadata": {"annotations": annotations}, "spec": spec}, facility, "new"
        )

    ours = {"af-otel.io/injected": "0.1.0"}
    assert state("new", **ours) == "injected"
    assert state("old", **ours) == "older"
    assert state() == "before"
    assert state(**{"af-otel.io/inject": "false"}) == "out"
    assert state(**{"af-otel.io/inject": "False"}) == "out"
    assert state(image="their/hub:2") == "out"


def test_an_api_that_is_away_is_waited_for(monkeypatch):
    """It is said once, and again when it is back."""
    monkeypatch.setattr(progress, "_PAUSE", 0)
    said, left = [], [Unreachable("away"), Unreachable("away"), None]

    def call():
        error = left.pop(0)
        if error:
            raise error
        return "done"

    assert progress.Progress(notice=said.append).patiently(call) == "done"
    assert [line.partition(":")[0] for line in said] == ["away", "It answers again, after 0 s"]


def test_an_api_that_stays_away_is_an_error(monkeypatch):
    """After as long as was asked for."""
    monkeypatch.setattr(progress, "_PAUSE", 0)

    def call():
        raise Unreachable("away")

    with pytest.raises(Unreachable):
        progress.Progress(patience=0).patiently(call)
