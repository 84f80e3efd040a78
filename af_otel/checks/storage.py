"""The Collector's queue is on a volume; without one, what the destinations did not take yet is lost
when its pod is replaced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from af_otel.checks._registry import check
from af_otel.checks.finding import Finding
from af_otel.kubernetes.claims import KIND
from af_otel.kubernetes.objects._labels import COLLECTOR
from af_otel.kubernetes.refs import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from af_otel.checks.context import Context

_DEFAULT = "storageclass.kubernetes.io/is-default-class"


@check("Cluster", "Is there storage for the Collector's queue?")
def storage_is_there(context: Context) -> Iterator[Finding]:
    """The storage class that facility.yaml names, or a default one."""
    namespace = context.facility.namespace
    if context.live.get(Ref("v1", KIND, COLLECTOR, namespace)) is not None:
        return  # an install uses the volume that exists, whatever becomes of its class
    classes = context.live.list("StorageClass", "storage.k8s.io/v1")
    names = [each["metadata"]["name"] for each in classes]
    wanted = context.facility.collector.storage.storage_class
    listed = ", ".join(f"`{name}`" for name in names) or "none"
    if wanted and wanted not in names:
        yield Finding(
            "blocks",
            f"There is no storage class `{wanted}`",
            f"`collector.storage.class` in facility.yaml; there are: {listed}",
            "The Collector's volume would never be made, and its pod never start",
            f"collector: {{storage: {{class: {names[0] if names else 'null'}}}}}",
        )
    defaults = [
        each
        for each in classes
        if (each["metadata"].get("annotations") or {}).get(_DEFAULT) == "true"
    ]
    if not wanted and not defaults:
        yield Finding(
            "warns",
            "No storage class is the default one, so that the Collector's queue is in its pod",
            f"the cluster's storage classes: {listed}",
            "What the destinations did not take yet is lost when that pod is replaced",
            "# in facility.yaml\ncollector: {storage: {class: "
            + (names[0] if names else "NAME")
            + "}}",
        )
