"""The pods that a facility is about, and which of them run with what is installed now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from af_otel.kubernetes.objects._pod import NAME as INIT_STEP
from af_otel.kubernetes.objects.injection import excludes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster

INJECTED = "af-otel.io/injected"  # annotation: the version that got in
INJECT = "af-otel.io/inject"  # annotation: "false" keeps us out of a pod
PAYLOAD_VOLUME = "af-otel-payload"

_NOT_STARTED = 128  # containerd's exit code with the reason `StartError`

Role = Literal["hub", "user", "dask"]
State = Literal["injected", "before", "older", "out", "blocked"]


@dataclass(frozen=True)
class Pod:
    """One pod of a facility.

    Parameters
    ----------
    state
        `injected` with what is installed now, or an `older` payload; from `before` the install, so
        that it has none until it starts anew; `out`, as it or facility.yaml asks for; or `blocked`
        by our init step, as its image has no shell to run that with.
    image
        Of a blocked pod.
    """

    role: Role
    namespace: str
    name: str
    state: State
    version: str = ""
    image: str = ""

    def as_json(self) -> dict[str, str]:
        """All of it."""
        return {**vars(self)}


def of(cluster: Cluster, facility: Facility, payload: str) -> list[Pod]:
    """The pods of a facility that run or start.

    Parameters
    ----------
    payload
        The name of the ConfigMap with what is injected now.
    """
    found: dict[tuple[str, str], Pod] = {}
    kinds: list[tuple[Role, list[str], Mapping[str, Any]]] = [
        ("hub", [facility.hub.namespace], facility.hub.selector),
        ("user", facility.users.namespaces, facility.users.selector),
        *(("dask", each.namespaces, each.selector) for each in facility.dask),
    ]
    for role, namespaces, selector in kinds:
        for namespace in namespaces:
            for pod in cluster.list("Pod", namespace=namespace, labels=selector):
                if is_alive(pod):
                    name, state = pod["metadata"]["name"], state_of(pod, facility, payload)
                    image = _image_of_step(pod) if state == "blocked" else ""
                    made = Pod(role, namespace, name, state, version_of(pod), image)
                    found.setdefault((namespace, name), made)
    return list(found.values())


def is_alive(pod: Mapping[str, Any]) -> bool:
    """Whether a pod runs or is about to."""
    return not pod["metadata"].get("deletionTimestamp") and pod.get("status", {}).get(
        "phase"
    ) not in {"Succeeded", "Failed"}


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod serves, and goes on to."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return not pod["metadata"].get("deletionTimestamp") and any(
        each["type"] == "Ready" and each["status"] == "True" for each in conditions
    )


def version_of(pod: Mapping[str, Any]) -> str:
    """Return the version that the policy has injected into a pod; empty without."""
    return str((pod["metadata"].get("annotations") or {}).get(INJECTED, ""))


def state_of(pod: Mapping[str, Any], facility: Facility, payload: str) -> State:
    """How a pod stands to what is installed now."""
    if _cannot_start(_step(pod)):
        return "blocked"
    if is_injected(pod):
        return "injected" if not payload or payload in _payloads(pod) else "older"
    refuses = (pod["metadata"].get("annotations") or {}).get(INJECT, "").lower() == "false"
    images = (container.get("image", "") for container in pod["spec"]["containers"])
    if refuses or any(excludes(facility, image) for image in images):
        return "out"
    return "before"


def is_injected(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod has our payload: from the policy, or from Helm values or a template."""
    return bool(version_of(pod) or _payloads(pod))


def _payloads(pod: Mapping[str, Any]) -> set[str]:
    return {
        str((volume.get("configMap") or {}).get("name", ""))
        for volume in pod["spec"].get("volumes") or ()
        if volume["name"] == PAYLOAD_VOLUME
    }


def containers_of(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The states of a pod's containers, those that run first included."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses") or ()
    yield from status.get("containerStatuses") or ()


def _step(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The status of our init step in a pod, if it has one."""
    return next((each for each in containers_of(pod) if each["name"] == INIT_STEP), {})


def _image_of_step(pod: Mapping[str, Any]) -> str:
    """As the pod has it, and so the policy; its status has it as the runtime calls it."""
    steps = pod["spec"].get("initContainers") or ()
    return next((str(each.get("image", "")) for each in steps if each["name"] == INIT_STEP), "")


def _cannot_start(container: Mapping[str, Any]) -> bool:
    """Whether what a container is to run is not in its image, in the words of any runtime."""
    state, before = (container.get(when) or {} for when in ("state", "lastState"))
    if state.get("waiting", {}).get("reason") in {"RunContainerError", "CreateContainerError"}:
        return True
    if "terminated" in state:
        return bool(state["terminated"].get("exitCode") == _NOT_STARTED)
    return bool(before.get("terminated", {}).get("exitCode") == _NOT_STARTED)
