"""What a pod is at, and what keeps it from running."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes.pods import containers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.kubernetes.client import Cluster

_LINES, _EVENTS = 4, 4  # of a log and of a pod's story, at the end of an error
_WIDTH = 300  # characters of a line
_IMAGE = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
_PULL_HINT = (
    "`image`, `pull_policy` and `pull_secrets` of the part in facility.yaml choose another "
    "registry and its credentials"
)


@dataclass(frozen=True)
class Trouble:
    """What keeps a pod from running, and will not pass by itself."""

    what: str
    where: str = ""
    hint: str = ""
    whole: bool = False  # events and logs would only repeat it


def of(pod: dict[str, Any]) -> Iterator[Trouble]:
    """What keeps one pod from running."""
    name = pod["metadata"]["name"]
    for container in containers_of(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason in _IMAGE:
            yield Trouble(
                f"The image `{container['image']}` cannot be pulled",
                where=f"Pod `{name}`: {message or reason}",
                hint=_PULL_HINT,
                whole=True,
            )
        elif reason == "CreateContainerConfigError":
            yield Trouble(
                f"Container `{container['name']}` lacks something: {message}",
                where=f"Pod `{name}`",
                hint="Secrets that facility.yaml names have to be in the facility's namespace",
                whole=True,
            )
        elif reason == "CrashLoopBackOff":
            yield Trouble(
                f"Container `{container['name']}` ends again and again", where=f"Pod `{name}`"
            )


def doing(pod: dict[str, Any]) -> str:
    """What a pod is at, in a few words."""
    for condition in pod.get("status", {}).get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] != "True":
            return f"no node yet: {condition.get('message', condition.get('reason', ''))}"
    for container in containers_of(pod):
        state = container.get("state", {})
        if "waiting" in state:
            reason = state["waiting"].get("reason", "waits")
            # Which is also the time in which an image is pulled.
            return "starting" if reason in {"ContainerCreating", "PodInitializing"} else reason
        if "running" in state and not container.get("ready") and container.get("started"):
            return "runs, not ready yet"
        if state.get("terminated", {}).get("exitCode"):
            return f"`{container['name']}` ended with {state['terminated']['exitCode']}"
    return str(pod.get("status", {}).get("phase", "")).lower()


def last_words(cluster: Cluster, pod: dict[str, Any]) -> list[str]:
    """The newest warnings and lines of the logs of a pod that does not do well."""
    meta = pod["metadata"]
    said: list[str] = []
    # Without the right to read them, or with nothing there, the error they are for comes first.
    with contextlib.suppress(AfOtelError):
        said += [
            f"{event.get('reason')}: {event.get('message')}"
            for event in events_of(cluster, pod)[-_EVENTS:]
            if event.get("type") == "Warning"
        ]
        for container in containers_of(pod):
            before = container.get("lastState", {}).get("terminated")
            now = container.get("state", {}).get("terminated")
            if (before or now or {}).get("exitCode") or "running" in container.get("state", {}):
                text = cluster.logs(
                    meta["namespace"],
                    meta["name"],
                    container["name"],
                    tail=_LINES,
                    previous=bool(before),
                )
                said += [
                    f"{container['name']}: {line[:_WIDTH]}"
                    for line in text.splitlines()
                    if line.strip()
                ]
    return list(dict.fromkeys(said))


def events_of(cluster: Cluster, pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a pod, the oldest first."""
    meta = pod["metadata"]
    found = cluster.list(
        "Event",
        namespace=meta["namespace"],
        fields=f"involvedObject.kind=Pod,involvedObject.name={meta['name']}",
    )
    return sorted(
        found, key=lambda each: str(each.get("lastTimestamp") or each.get("eventTime") or "")
    )
