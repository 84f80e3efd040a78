"""Wait until what was applied runs; what will not run by itself is said early, with its cure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.kubernetes import troubles
from af_otel.kubernetes.troubles import Trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.progress import Progress
    from af_otel.kubernetes.refs import Ref

WORKLOADS = {"Deployment", "StatefulSet", "DaemonSet"}
_PAUSE = 0.5  # seconds between two looks
# Seconds that a trouble lasts before it is one: a Secret may come a moment after its pod.
_GRACE = 8.0


def workloads(cluster: Cluster, refs: Iterable[Ref], progress: Progress, timeout: float) -> None:
    """Wait until each workload among `refs` is rolled out.

    Raises
    ------
    AfOtelError
        One cannot be, or is not in time.
    """
    deadline = time.monotonic() + timeout
    for ref in refs:
        if ref.kind in WORKLOADS:
            with progress.step(f"wait for {ref}") as step:
                for detail in _until_rolled_out(cluster, ref, progress, deadline):
                    progress.say(step, detail)


def _until_rolled_out(
    cluster: Cluster, ref: Ref, progress: Progress, deadline: float
) -> Iterator[str]:
    troubled: float | None = None
    while True:
        workload = progress.patiently(cluster.get, ref)
        if workload is None:
            raise AfOtelError(
                f"{ref} is gone", where="somebody deleted it", hint="run the command again"
            )
        if rolled_out(workload):
            yield ""
            return
        pods = progress.patiently(pods_of, cluster, workload)
        now = time.monotonic()
        trouble = next(_all_troubles(workload, pods), None)
        if trouble is None:
            troubled = None
        elif troubled is None:
            troubled = now
        elif now - troubled > _GRACE:
            raise _failed(cluster, ref, pods, trouble)
        yield trouble.what if trouble else _doing(workload, pods)
        if now > deadline:
            raise _failed(
                cluster,
                ref,
                pods,
                Trouble(
                    f"not in time: {_doing(workload, pods)}",
                    hint="`--timeout SECONDS` waits longer; what is applied stays, and the same "
                    "command goes on from there",
                ),
            )
        time.sleep(_PAUSE)


def doing(cluster: Cluster, workload: dict[str, Any]) -> str:
    """What a workload is at, or what is in its way."""
    pods = pods_of(cluster, workload)
    trouble = next(_all_troubles(workload, pods), None)
    return trouble.what if trouble else _doing(workload, pods)


def rolled_out(workload: dict[str, Any]) -> bool:
    """Whether a workload runs as it was last described."""
    spec, status = workload["spec"], workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    if workload["kind"] == "DaemonSet":
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(
            status.get("updatedNumberScheduled", 0) == wanted
            and status.get("numberAvailable", 0) == wanted
        )
    wanted = spec.get("replicas", 1)
    return bool(
        status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", status.get("readyReplicas", 0)) == wanted
    )


def pods_of(cluster: Cluster, workload: dict[str, Any]) -> list[dict[str, Any]]:
    """The pods of a workload that are not on their way out, the newest first."""
    found = cluster.list(
        "Pod",
        namespace=workload["metadata"]["namespace"],
        labels=workload["spec"]["selector"]["matchLabels"],
    )
    alive = [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]
    return sorted(alive, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True)


def _all_troubles(workload: dict[str, Any], pods: list[dict[str, Any]]) -> Iterator[Trouble]:
    for pod in pods:
        yield from troubles.of(pod)
    for condition in workload.get("status", {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            yield Trouble(
                "Its pods are refused",
                where=condition.get("message", ""),
                hint="a quota, a limit range or the namespace's pod security is in the way",
            )


def _doing(workload: dict[str, Any], pods: list[dict[str, Any]]) -> str:
    if not pods:
        return "no pod yet"
    return (
        troubles.doing(pods[0]) or f"{len(pods)} pods, {workload['spec'].get('replicas', 1)} wanted"
    )


def _failed(
    cluster: Cluster, ref: Ref, pods: list[dict[str, Any]], trouble: Trouble
) -> AfOtelError:
    said = [trouble.where] if trouble.where else []
    if pods and not trouble.whole:
        said += troubles.last_words(cluster, pods[0])
    what = trouble.what[0].lower() + trouble.what[1:]
    return AfOtelError(
        f"{ref} does not run: {what}", where="\n         ".join(said), hint=trouble.hint
    )
