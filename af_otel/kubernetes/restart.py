"""Give the hub's pods a new start, so that they come back injected - or as they were.

A hub is never down because of us: if it does not come back, what was injected is taken out again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from af_otel.errors import AfOtelError
from af_otel.kubernetes import pods, troubles
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from af_otel.facility import Facility
    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.progress import Progress, Step
    from af_otel.kubernetes.troubles import Trouble

# Seconds. A hub upgrades its database and asks all users' servers at its start.
BOUND = 300.0
_PAUSE = 0.5
_ATTEMPTS, _SETTLES = 2, 5.0  # seconds between them
_GRACE = 15.0  # seconds; a crash or two at the start may pass: the database was not there yet


class HubDown(AfOtelError):
    """The hub did not come back as it should."""


def hub_pods(cluster: Cluster, facility: Facility) -> list[dict[str, Any]]:
    """The hub's pods that run or start."""
    found = cluster.list("Pod", namespace=facility.hub.namespace, labels=facility.hub.selector)
    return [pod for pod in found if pods.is_alive(pod)]


def outdated(cluster: Cluster, facility: Facility, payload: str) -> list[dict[str, Any]]:
    """The hub's pods that run without what is installed now and would start with it."""
    return [
        pod
        for pod in hub_pods(cluster, facility)
        if pods.state_of(pod, facility, payload) in {"before", "older"}
    ]


def hub(
    cluster: Cluster,
    facility: Facility,
    payload: str,
    old: Iterable[dict[str, Any]],
    progress: Progress,
    undo: Callable[[], None],
    bound: float = BOUND,
) -> None:
    """Restart the hub's `old` pods, one after the other.

    Parameters
    ----------
    undo
        Takes injection out again; called if the hub does not come back within `bound` seconds.

    Raises
    ------
    HubDown
        It did not come back, and runs as it did before, or not even so.
    """
    waiting = list(old)
    if not waiting:
        return
    with progress.step("restart the hub") as step:
        for pod in waiting:
            require_controller(pod)
        before = _until_ready(cluster, facility, set(), progress, step, bound)
        if before is not None:
            raise AfOtelError(
                f"The hub is not ready, so it is left alone: {before.what}",
                where=before.where,
                hint="once it runs, the same command goes on; `--no-restart` leaves the hub out",
            )
        for attempt in range(_ATTEMPTS):
            for pod in waiting:
                problem = _replaced(cluster, facility, pod, progress, step, bound)
                if problem is not None:
                    _give_up(cluster, facility, problem, progress, step, undo, bound)
            # Of several API servers one may not have known the policy yet.
            waiting = [pod for pod in outdated(cluster, facility, payload) if pods.is_ready(pod)]
            if not waiting:
                return
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_SETTLES)
    for pod in waiting:
        progress.notice(
            f"Pod `{pod['metadata']['name']}` of the hub came back without af-otel: something "
            "takes it out, or an API server does not know the policy yet; then the same command "
            "helps"
        )


def _give_up(
    cluster: Cluster,
    facility: Facility,
    problem: Trouble,
    progress: Progress,
    step: Step,
    undo: Callable[[], None],
    bound: float,
) -> NoReturn:
    """Take out what was injected, and have the hub run again."""
    progress.say(step, "it does not come back: taking out what was injected")
    said = [problem.where] if problem.where else []
    said += _said(cluster, facility)
    undo()
    for each in hub_pods(cluster, facility):
        _delete(cluster, each, progress)
    again = _until_ready(cluster, facility, set(), progress, step, bound)
    now = (
        "the hub runs as before"
        if again is None
        else f"it does not come up without af-otel, either: {again.what}"
    )
    raise HubDown(
        f"The hub did not come back with af-otel in it: {problem.what}",
        where="\n         ".join(said),
        hint=f"what was injected is taken out again, and {now}; `--no-restart` installs the rest",
    )


def require_controller(pod: dict[str, Any]) -> None:
    """Refuse to delete a pod that nobody would make anew.

    Raises
    ------
    AfOtelError
        It has no controller.
    """
    if not any(owner.get("controller") for owner in pod["metadata"].get("ownerReferences") or ()):
        raise AfOtelError(
            f"The hub's Pod `{pod['metadata']['name']}` belongs to no Deployment",
            where=f"namespace `{pod['metadata']['namespace']}`",
            hint="it would not come back by itself: start it anew by hand, and it is injected",
        )


def _replaced(
    cluster: Cluster,
    facility: Facility,
    pod: dict[str, Any],
    progress: Progress,
    step: Step,
    bound: float,
) -> Trouble | None:
    before = {each["metadata"]["uid"] for each in hub_pods(cluster, facility)}
    others = before - {pod["metadata"]["uid"]}
    progress.say(step, f"ending Pod `{pod['metadata']['name']}`")
    _delete(cluster, pod, progress)
    return _until_ready(cluster, facility, others, progress, step, bound)


def _delete(cluster: Cluster, pod: dict[str, Any], progress: Progress) -> None:
    # That very pod: if it was replaced meanwhile, the new one is left alone.
    progress.patiently(cluster.delete, Ref.of(pod), uid=pod["metadata"]["uid"])


def _until_ready(
    cluster: Cluster,
    facility: Facility,
    others: set[str],
    progress: Progress,
    step: Step,
    bound: float,
) -> Trouble | None:
    """Wait for a new ready pod; what is wrong if none comes."""
    deadline = time.monotonic() + bound
    troubled: float | None = None
    detail = "no pod yet"
    while True:
        fresh = [
            pod
            for pod in progress.patiently(hub_pods, cluster, facility)
            if pod["metadata"]["uid"] not in others
        ]
        if any(pods.is_ready(pod) for pod in fresh):
            progress.say(step, "")
            return None
        now = time.monotonic()
        trouble = next((each for pod in fresh for each in troubles.of(pod)), None)
        troubled = None if trouble is None else troubled or now
        if trouble and troubled and now - troubled > _GRACE:
            return trouble
        detail = trouble.what if trouble else troubles.doing(fresh[0]) if fresh else "no pod yet"
        progress.say(step, f"its new pod: {detail}")
        if now > deadline:
            return troubles.Trouble(f"not ready after {bound:.0f} s ({detail})")
        time.sleep(_PAUSE)


def _said(cluster: Cluster, facility: Facility) -> list[str]:
    for pod in hub_pods(cluster, facility):
        if not pods.is_ready(pod):
            return troubles.last_words(cluster, pod)
    return []
