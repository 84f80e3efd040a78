"""Take out what an install made: the inventory, and nothing that is not in it. Pods run on."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from af_otel.errors import AfOtelError
from af_otel.kubernetes import apply, inventory
from af_otel.kubernetes.errors import Forbidden, NotFound
from af_otel.kubernetes.ownership import owner
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from af_otel.kubernetes.client import Cluster
    from af_otel.kubernetes.inventory import Inventory
    from af_otel.kubernetes.progress import Progress

_PAUSE = 0.5
# What every namespace gets by itself, and what tells of the past: no reason to keep one.
_GIVEN = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
_PAST = {"Event", "EndpointSlice", "Endpoints", "Lease", "ControllerRevision", "PodMetrics"}


@dataclass(frozen=True)
class Removal:
    """What would go, in this order, and what would stay although the inventory names it.

    Parameters
    ----------
    stays
        By object, why.
    namespace
        The namespace goes as well, as we made it and nothing else is in it.
    """

    inventory: Inventory
    objects: tuple[Ref, ...]
    stays: dict[Ref, str]
    namespace: bool

    @property
    def claims(self) -> list[Ref]:
        """Volumes that go, with what is on them."""
        return [ref for ref in self.objects if ref.kind == "PersistentVolumeClaim"]


def plan(cluster: Cluster, installed: Inventory) -> Removal:
    """Find out what a removal takes."""
    goes, stays = [], {}
    namespace: Ref | None = None
    for ref in reversed(installed.refs):
        live = cluster.get(ref)
        if live is None:
            continue
        if owner(live) != installed.facility:
            stays[ref] = "it is somebody else's by now"
        elif (ref.api_version, ref.kind) == ("v1", "Namespace"):
            namespace = ref
        else:
            goes.append(ref)
    # Policies go first: no pod is to start with a payload that is on its way out.
    goes.sort(key=lambda ref: ref.kind not in apply.INJECTION | apply.GUARD)
    if namespace is not None:
        others = _others(cluster, installed.namespace, goes)
        if others:
            stays[namespace] = "others are in it: " + ", ".join(others)
    return Removal(
        installed, tuple(goes), stays, namespace=namespace is not None and namespace not in stays
    )


def carry_out(cluster: Cluster, removal: Removal, progress: Progress, timeout: float) -> None:
    """Remove it; whatever interrupts this, doing it again completes it."""
    deadline = time.monotonic() + timeout
    place = removal.inventory.namespace
    secret = Ref("v1", "Secret", inventory.NAME, place)
    with progress.step(f"remove {len(removal.objects)} objects") as step:
        if progress.patiently(cluster.get, secret) is not None:
            apply.inventory(cluster, replace(removal.inventory, state="removing"), progress)
        for number, ref in enumerate(removal.objects, 1):
            progress.say(step, f"{number} of {len(removal.objects)}: {ref}")
            apply.delete(cluster, ref, progress)
        progress.say(step, "")
    with progress.step("wait until they are gone") as step:
        left: Sequence[Ref] = removal.objects
        while left:
            left = [ref for ref in left if progress.patiently(cluster.get, ref) is not None]
            if left:
                progress.say(step, ", ".join(map(str, left[:3])))
                _still(left, deadline)
        # The very last: until here it says what there is to remove.
        apply.delete(cluster, secret, progress)
        if removal.namespace:
            namespace = Ref("v1", "Namespace", place)
            apply.delete(cluster, namespace, progress)
            while progress.patiently(cluster.get, namespace) is not None:
                progress.say(step, f"Namespace `{place}`")
                _still([namespace], deadline)
        progress.say(step, "")


def _still(left: Iterable[Ref], deadline: float) -> None:
    if time.monotonic() > deadline:
        raise AfOtelError(
            "Not everything is gone in time: " + ", ".join(map(str, left)),
            where="they are being deleted; something holds them, such as a finalizer or a pod",
            hint="`--timeout SECONDS` waits longer; the same command goes on from there",
        )
    time.sleep(_PAUSE)


def _others(cluster: Cluster, namespace: str, ours: Iterable[Ref]) -> list[str]:
    """What is in our namespace besides what goes and what Kubernetes itself puts there."""
    mine = {(ref.kind, ref.name) for ref in ours if ref.namespace == namespace}
    mine |= _GIVEN | {("Secret", inventory.NAME)}
    found: dict[str, None] = {}
    for resource in cluster.everything():
        if not resource.namespaced or "list" not in resource.verbs or resource.kind in _PAST:
            continue
        try:
            items = cluster.list(resource.kind, resource.api_version, namespace)
        except NotFound:
            continue
        except Forbidden:
            found[f"{resource.plural}, perhaps, which you may not list"] = None
            continue
        for item in items:
            meta = item["metadata"]
            # What a Deployment made goes with it.
            made_by = any(each.get("controller") for each in meta.get("ownerReferences") or ())
            if not made_by and (item["kind"], meta["name"]) not in mine:
                found[f"{item['kind']} `{meta['name']}`"] = None
    return list(found)
