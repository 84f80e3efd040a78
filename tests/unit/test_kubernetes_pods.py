"""How a pod stands to what is installed."""

from __future__ import annotations

import pytest
from rendered import a_facility

from af_otel.kubernetes import pods

NOT_STARTED = {"terminated": {"exitCode": 128, "reason": "StartError"}}
KILLED = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
DONE = {"terminated": {"exitCode": 0, "reason": "Completed"}}


@pytest.mark.parametrize(
    ("state", "before", "stands"),
    [
        (NOT_STARTED, {}, "blocked"),
        ({"waiting": {"reason": "CrashLoopBackOff"}}, NOT_STARTED, "blocked"),
        ({"waiting": {"reason": "RunContainerError"}}, {}, "blocked"),
        ({"waiting": {"reason": "PodInitializing"}}, {}, "injected"),
        ({"running": {}}, {}, "injected"),
        (DONE, KILLED, "injected"),
        (KILLED, {}, "injected"),
    ],
)
def test_a_pod_is_blocked_by_a_step_that_its_image_cannot_run(state, before, stands):
    """Containerd says so by an exit code, others while the container waits."""
    step = {"name": "af-otel", "image": "x", "state": state, "lastState": before}
    pod = {
        "metadata": {"annotations": {"af-otel.io/injected": "0.1.0"}},
        "spec": {"containers": [{"name": "notebook", "image": "x"}], "volumes": []},
        "status": {"initContainerStatuses": [step]},
    }
    assert pods.state_of(pod, a_facility(), "") == stands
