"""Claims of volumes: their data outlive every install and upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from af_otel.errors import AfOtelError
from af_otel.facility.values import amount
from af_otel.kubernetes.objects._labels import COLLECTOR
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Mapping

    from af_otel.kubernetes.client import Cluster

KIND = "PersistentVolumeClaim"


def refuse_what_cannot_be(
    cluster: Cluster, wanted: Mapping[str, Any], live: Mapping[str, Any]
) -> None:
    """Refuse a change of a claim that only a new volume, without the data, could have.

    Raises
    ------
    AfOtelError
        The class differs, the size is smaller, or it is larger and the class does not let volumes
        grow.
    """
    ref = Ref.of(wanted)
    now, then = _class(live), _class(wanted)
    if then is not None and then != now:
        raise AfOtelError(
            f"The storage class of {ref} cannot be changed",
            where=f"its volume is of class `{now}`, facility.yaml asks for `{then}`",
            hint="to keep the volume and its data, write "
            f"`collector: {{storage: {{class: {now}}}}}`; {_anew(ref)}",
        )
    has, wants = size(live), size(wanted)
    if amount(wants) < amount(has):
        raise AfOtelError(
            f"{ref} cannot shrink",
            where=f"it has {has}, facility.yaml asks for {wants}",
            hint=f"write `{_field(ref)}: {has}`; {_anew(ref)}",
        )
    if amount(wants) > amount(has) and not _grows(cluster, now):
        raise AfOtelError(
            f"{ref} cannot grow",
            where=f"it has {has}, facility.yaml asks for {wants}, and storage class `{now}` does "
            "not let volumes grow",
            hint=f"write `{_field(ref)}: {has}`, or set `allowVolumeExpansion: true` on the class "
            f"if its driver can do that; {_anew(ref)}",
        )


def size(claim: Mapping[str, Any]) -> str:
    """Return what a claim asks for, such as `5Gi`."""
    return str(claim["spec"]["resources"]["requests"]["storage"])


def as_they_are(cluster: Cluster, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return an older version's objects with today's sizes and classes of the claims that exist."""
    return [_as_it_is(cluster, obj) if obj["kind"] == KIND else obj for obj in objects]


def _as_it_is(cluster: Cluster, claim: dict[str, Any]) -> dict[str, Any]:
    live = cluster.get(Ref.of(claim))
    if live is None:
        return claim
    spec = {**claim["spec"], "resources": {"requests": {"storage": size(live)}}}
    if _class(claim) is not None:
        spec["storageClassName"] = _class(live)
    return {**claim, "spec": spec}


def _class(claim: Mapping[str, Any]) -> str | None:
    found: str | None = claim["spec"].get("storageClassName")
    return found


def _grows(cluster: Cluster, name: str | None) -> bool:
    return any(
        each["metadata"]["name"] == name and each.get("allowVolumeExpansion")
        for each in cluster.list("StorageClass", "storage.k8s.io/v1")
    )


def _field(ref: Ref) -> str:
    return "collector.storage.size" if ref.name == COLLECTOR else "backends.size"


def _anew(ref: Ref) -> str:
    return (
        "to begin with an empty volume, delete the Deployment and the claim first: "
        f"`kubectl -n {ref.namespace} delete deployment/{ref.name} pvc/{ref.name}`"
    )
