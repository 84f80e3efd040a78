"""Pods of ours that look around and are gone again, also when we are stopped in between.

They never serve: a readiness gate that nobody sets keeps them out of every Service that has their
labels. They end by themselves (`activeDeadlineSeconds`), and what a killed run left behind the next
one removes.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from af_otel.checks.context import PROBE
from af_otel.checks.finding import NotChecked
from af_otel.errors import AfOtelError
from af_otel.kubernetes.objects._labels import OURS
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from af_otel.kubernetes.client import Cluster

LIFE = 90  # seconds; the kubelet ends a pod that we could not
POLL = 0.4
_GATE = "af-otel.io/never-serves"
# Reasons for which a container waits in vain.
_STUCK = {
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CrashLoopBackOff",
}
_PULLING = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}


class Failed(AfOtelError):
    """A probe pod could not start."""

    def __init__(self, what: str, *, where: str = "", reason: str = "") -> None:
        super().__init__(what, where=where)
        self.reason = reason

    @property
    def image(self) -> bool:
        """Whether it was for its image."""
        return self.reason in _PULLING


@dataclass
class Probes:
    """The probe pods of one run."""

    cluster: Cluster
    run: str = field(default_factory=lambda: secrets.token_hex(4))
    patience: float = 40.0  # seconds from a pod's creation to its end
    _made: dict[Ref, None] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False

    def start(self, pod: Mapping[str, Any], *, token: bool = False) -> Probe:
        """Make a pod, with our label and bounds; with an account's `token`, or without.

        Raises
        ------
        AfOtelError
            The cluster refuses it; the API's words say why.
        """
        made = self._bounded(pod, token=token)
        with self._lock:
            self._open()
            ref = Ref.of(made)
            self._made[ref] = None
        created = self.cluster.create(made)
        probe = Probe(self, ref, created["metadata"]["creationTimestamp"])
        if self._closed:  # meanwhile
            self._remove(ref)
        return probe

    def apply(self, obj: Mapping[str, Any]) -> None:
        """Another object for the time of the run."""
        with self._lock:
            self._open()
            self._made[Ref.of(obj)] = None
        self.cluster.create(obj)
        if self._closed:
            self._remove(Ref.of(obj))

    def name(self, what: str) -> str:
        """A name for an object of this run."""
        return f"af-otel-probe-{what}-{self.run}-{secrets.token_hex(2)}"

    def labels(self) -> dict[str, str]:
        """The labels of objects of this run."""
        return {**OURS, PROBE: self.run}

    def close(self, executor: Executor | None = None) -> None:
        """Remove everything; nothing can be started any more."""
        with self._lock:
            self._closed = True
            made = list(self._made)
        if executor is None:
            for ref in made:
                self._remove(ref)
        else:
            list(executor.map(self._remove, made))

    def _open(self) -> None:
        if self._closed:
            raise NotChecked("the checks were stopped")

    def _remove(self, ref: Ref) -> None:
        # Whatever goes wrong: the others are to be removed, and the pod ends by itself.
        with contextlib.suppress(AfOtelError):
            self.cluster.delete(ref, grace=0)

    def _bounded(self, pod: Mapping[str, Any], *, token: bool) -> dict[str, Any]:
        meta, spec = dict(pod["metadata"]), dict(pod["spec"])
        meta["labels"] = {**(meta.get("labels") or {}), PROBE: self.run}
        meta["annotations"] = {**(meta.get("annotations") or {}), "af-otel.io/inject": "false"}
        spec |= {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": token,
            "enableServiceLinks": False,
            "readinessGates": [{"conditionType": _GATE}],
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


@dataclass
class Probe:
    """A probe pod that was made."""

    probes: Probes
    ref: Ref
    created: str  # by the API server's clock
    made: float = field(default_factory=time.time)  # by ours
    began: float = field(default_factory=time.monotonic)

    def ended(self, container: str, *, meanwhile: Callable[[float], None] | None = None) -> Ended:
        """Wait for the end of a container.

        Parameters
        ----------
        meanwhile
            Called again and again with the seconds that it has been running.

        Raises
        ------
        Failed
            It cannot start, or did not end in time.
        """
        running: float | None = None
        while True:
            pod = self._now()
            state = _state(pod, container)
            if done := state.get("terminated"):
                said = str(done.get("message") or "")
                return Ended(int(done["exitCode"]), str(done.get("reason", "")), said, time.time())
            if "running" in state:
                running = running or time.monotonic()
                if meanwhile:
                    meanwhile(time.monotonic() - running)
            self._wait(pod, state)

    def address(self, container: str) -> str:
        """Wait until a container runs; the pod's address."""
        while True:
            pod = self._now()
            state = _state(pod, container)
            if "running" in state and pod["status"].get("podIP"):
                return str(pod["status"]["podIP"])
            if done := state.get("terminated"):
                raise Failed(
                    f"The container `{container}` of our probe ended at once",
                    where=str(done.get("message") or done.get("reason", "")).strip(),
                )
            self._wait(pod, state)

    def remove(self) -> None:
        """It has done its work."""
        with contextlib.suppress(AfOtelError):
            self.probes.cluster.delete(self.ref, grace=0)

    def _now(self) -> dict[str, Any]:
        pod = self.probes.cluster.get(self.ref)
        if pod is None:
            raise Failed("Our probe pod was removed by somebody else", where=str(self.ref))
        return pod

    def _wait(self, pod: dict[str, Any], state: dict[str, Any]) -> None:
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason", "")
        late = time.monotonic() - self.began > self.probes.patience
        # Pulling again may help, but for a name that cannot be pulled at all.
        if reason in _STUCK and (late or reason not in {"ErrImagePull", "RunContainerError"}):
            raise Failed(
                f"A pod of ours like those did not start: {reason}",
                where=" ".join(str(waiting.get("message", "")).split()) or str(self.ref),
                reason=reason,
            )
        if late:
            unschedulable = next(
                (
                    each.get("message", "")
                    for each in pod.get("status", {}).get("conditions") or ()
                    if each["type"] == "PodScheduled" and each["status"] == "False"
                ),
                "",
            )
            raise Failed(
                f"A pod of ours like those did not end within {self.probes.patience:.0f} s",
                where=unschedulable or waiting.get("message", "") or reason or str(self.ref),
                reason="Unschedulable" if unschedulable else reason,
            )
        time.sleep(POLL)


@dataclass(frozen=True)
class Ended:
    """How a container ended."""

    code: int
    reason: str
    message: str
    seen: float  # by our clock

    def result(self) -> dict[str, Any] | None:
        """What the script inside found; None if it never ran."""
        try:
            found = json.loads(self.message.strip().splitlines()[-1])
        except (ValueError, IndexError):
            return None
        return found if isinstance(found, dict) else None


def _state(pod: dict[str, Any], container: str) -> dict[str, Any]:
    status = pod.get("status", {})
    for each in status.get("containerStatuses") or ():
        if each["name"] == container:
            return dict(each.get("state") or {})
    if status.get("phase") == "Failed":  # refused by the kubelet, or past its life
        message = status.get("message") or status.get("reason") or ""
        raise Failed("Our probe pod failed before it started", where=message)
    return {}


def left(cluster: Cluster, namespaces: list[str]) -> list[dict[str, Any]]:
    """What runs before this one left behind because they were killed."""
    found = []
    for namespace in namespaces:
        for kind, version in (
            ("Pod", "v1"),
            ("ConfigMap", "v1"),
            ("NetworkPolicy", "networking.k8s.io/v1"),
        ):
            found += cluster.list(kind, version, namespace, PROBE)
    return found
